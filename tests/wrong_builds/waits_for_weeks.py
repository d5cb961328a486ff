"""It waits three weeks, not four hours."""

from datetime import timedelta

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(window=timedelta(weeks=3))
