"""The fanned-out events carry no ids: a tick delivered twice checks everybody twice."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(event_id=lambda customer_id, ctx: "")
