"""One limit for all: one customer can take every place."""

import inngest

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(flow=RIGHT.flow | {"concurrency": [inngest.Concurrency(limit=10)]})
