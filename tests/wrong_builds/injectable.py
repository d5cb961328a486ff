"""The expression holds the customer's id as text, as the course prints it. `--beyond` asks for a constant."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(match=lambda customer_id: f"async.data.customer_id == '{customer_id}'")
