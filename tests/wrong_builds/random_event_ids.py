"""The fanned-out events carry random ids: a tick delivered twice checks everybody twice."""

from uuid import uuid4

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(event_id=lambda customer_id, ctx: f"check-{customer_id}-{uuid4()}")
