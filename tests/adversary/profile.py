"""How many examples are drawn: HYPOTHESIS_PROFILE=torture draws more, and others for each SEED (default 1)."""

import os

from hypothesis import HealthCheck, settings

SEED = int(os.environ.get("SEED") or 1)
TORTURE = os.environ.get("HYPOTHESIS_PROFILE") == "torture"
PROFILE = settings(
    max_examples=200 if TORTURE else 30,
    deadline=None,
    # What is drawn follows from the seed alone, not from what failed here before.
    database=None,
    print_blob=True,
    # The fixtures are the world, which each example begins anew.
    suppress_health_check=list(HealthCheck),
)
