"""A run that fails for good leaves no trace."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(dead_letters=False)
