"""Who does not say no has said yes."""

import inngest

from tests.wrong_builds.learner import RIGHT


def not_a_no(decision: inngest.Event | None) -> bool:
    """Pays by default."""
    return decision is None or decision.data.get("approved") is True


BUILD = RIGHT.but(decision=not_a_no)
