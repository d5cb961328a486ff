"""A run that fails for good leaves no row. The course does not ask for one; `--beyond` does."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(dead_letters=False)
