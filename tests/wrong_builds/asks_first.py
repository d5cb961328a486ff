"""People are told of the refund before the run waits: an answer that comes in between is lost."""

from datetime import timedelta

import inngest

from tests.wrong_builds.learner import RIGHT, waits
from tests.wrong_builds.worker import Customer


async def tell_boss(who: Customer) -> str:
    """Whoever is told may answer at once."""
    return f"May {who['customer_id']} have a refund?"


async def told_and_then_waits(
    ctx: inngest.Context, number: int, match: str, window: timedelta, who: Customer
) -> inngest.Event | None:
    """The wait begins when the message is out."""
    await ctx.step.run(f"tell-boss-{number}", tell_boss, who)
    return await waits(ctx, number, match, window, who)


BUILD = RIGHT.but(decided=told_and_then_waits)
