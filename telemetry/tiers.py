"""What the engine costs, as the course printed it. Prices go stale: look at the provider's page, too."""

import math
from dataclasses import dataclass

# When the course was read. https://www.inngest.com/pricing has what holds today.
AS_OF = "2026-11-30"
PRO_DOLLARS = 75
PRO_EXECUTIONS = 1_000_000
# On Pro, each further million of executions or a part of it.
MORE_DOLLARS = 50
MORE_EXECUTIONS = 1_000_000


@dataclass(frozen=True)
class Tier:
    """One row of the price list. A month's executions, and how many steps may run at once."""

    name: str
    price: str
    executions: int | None
    steps_at_once: str
    longest_sleep: str


HOBBY = Tier("Hobby", "$0", 50_000, "5", "7 days")
PRO = Tier("Pro", f"from ${PRO_DOLLARS}", PRO_EXECUTIONS, "100+", "1 year")
ENTERPRISE = Tier("Enterprise", "custom", None, "500 to 50,000", "1 year")
TIERS = (HOBBY, PRO, ENTERPRISE)


def month(executions: int) -> tuple[Tier, int]:
    """The cheapest tier for so many executions in a month, and its dollars."""
    if executions <= (HOBBY.executions or 0):
        return HOBBY, 0
    more = max(0, math.ceil((executions - PRO_EXECUTIONS) / MORE_EXECUTIONS))
    return PRO, PRO_DOLLARS + MORE_DOLLARS * more
