"""After four hours the decision is None, and the code reads it all the same."""

import inngest

from tests.wrong_builds.learner import RIGHT


def always_answered(decision: inngest.Event | None) -> bool:
    """Fails after the timeout, when there is no decision."""
    return decision.data["approved"] is True  # type: ignore[union-attr]


BUILD = RIGHT.but(decision=always_answered)
