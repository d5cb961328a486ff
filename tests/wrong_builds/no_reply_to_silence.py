"""After four hours without an answer the run ends, as in the course: a row, no money, and no reply to the customer."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(replies_to_silence=False)
