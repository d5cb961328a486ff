"""A rate limit stands where a throttle was meant: what is too much is dropped."""

from datetime import timedelta

import inngest

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(
    flow={
        "concurrency": RIGHT.flow["concurrency"],
        "rate_limit": inngest.RateLimit(limit=5, period=timedelta(minutes=1)),
    }
)
