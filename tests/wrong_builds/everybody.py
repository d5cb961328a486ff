"""The tier is not asked for: standard customers get a health check too."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(tiers=("standard", "pro", "enterprise"))
