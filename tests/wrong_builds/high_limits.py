"""The limits are so high that they limit nothing."""

import inngest

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(
    flow=RIGHT.flow
    | {"concurrency": [inngest.Concurrency(limit=1000), inngest.Concurrency(limit=50, key="event.data.customer_id")]}
)
