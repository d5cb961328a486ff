"""The match knows only the customer: one yes answers every refund of theirs that waits."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(match=lambda customer_id: "async.data.customer_id == event.data.customer_id")
