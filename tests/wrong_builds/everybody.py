"""The tier is not asked for."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(tiers=("standard", "pro", "enterprise"))
