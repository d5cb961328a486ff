"""What the first step found out is kept in the process's memory: it is gone when the process dies before the next."""

import os

import inngest

from tests.wrong_builds.learner import RIGHT, log_in
from tests.wrong_builds.worker import Customer, think

KEPT: dict[str, Customer] = {}


async def log_in_and_keep(who: Customer) -> None:
    """The engine remembers nothing of it."""
    await log_in(who)
    KEPT[who["run_id"]] = who


async def received_and_kept(ctx: inngest.Context, who: Customer) -> None:
    """It carries the gates' hook."""
    await ctx.step.run("log-in", log_in_and_keep, who)
    if os.environ.get("DIE_AFTER") == "log-in":
        await ctx.step.run("die", lambda: ctx.attempt == 0 and os._exit(1))  # type: ignore


async def answered_from_memory(ctx: inngest.Context, email: str, _: Customer) -> dict[str, object]:
    """Raises KeyError in the process that came after."""
    return await ctx.step.run("think", think, email, KEPT[ctx.run_id])


BUILD = RIGHT.but(received=received_and_kept, answered=answered_from_memory)
