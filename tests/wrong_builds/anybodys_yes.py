"""The wait takes any decision: somebody else's yes pays."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(match=lambda customer_id: "async.data.approved == true")
