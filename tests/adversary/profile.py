"""How much is tried. `make torture` sets HYPOTHESIS_PROFILE=torture, which draws more, and others for each SEED.

Without a SEED it is 1.
"""

import os

from hypothesis import HealthCheck, Phase, settings

SEED = int(os.environ.get("SEED") or 1)
TORTURE = os.environ.get("HYPOTHESIS_PROFILE") == "torture"
# To make a failing example smaller takes minutes, more than a test may.
PHASES = [Phase.explicit, Phase.generate, *([Phase.shrink] if TORTURE else [])]
PROFILE = settings(
    phases=PHASES,
    max_examples=200 if TORTURE else 10,
    deadline=None,
    # What is drawn follows from the seed alone, not from what failed here before.
    database=None,
    print_blob=True,
    # The fixtures are the world, which each example begins anew.
    suppress_health_check=list(HealthCheck),
)
