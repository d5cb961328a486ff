"""The fanned-out events carry the run's id: a tick delivered twice is two runs, and checks everybody twice."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(event_id=lambda customer_id, ctx: f"check-{customer_id}-{ctx.run_id}")
