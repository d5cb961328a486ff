"""After four hours without an answer the run ends without a reply, as in the course. `--beyond` asks for a reply."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(replies_to_silence=False)
