"""A refund that nobody rejects in four hours is paid."""

import inngest

from tests.wrong_builds.learner import RIGHT


def not_a_no(decision: inngest.Event | None) -> bool:
    """No decision counts as a yes."""
    return decision is None or decision.data.get("approved") is True


BUILD = RIGHT.but(decision=not_a_no)
