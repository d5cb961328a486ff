"""Any text counts as a yes, the text "false" as well."""

import inngest

from tests.wrong_builds.learner import RIGHT


def any_text(decision: inngest.Event | None) -> bool:
    """True for every text that is not empty."""
    return decision is not None and bool(decision.data.get("approved"))


BUILD = RIGHT.but(decision=any_text)
