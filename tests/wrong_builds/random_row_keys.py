"""The rows have random keys: a step that is done again after a crash writes its row again."""

from uuid import uuid4

import inngest

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer, write


async def log_in_anew(who: Customer) -> None:
    """Each call writes another row."""
    await write("message_received", who, key=f"{uuid4()}")


async def received_anew(ctx: inngest.Context, who: Customer) -> None:
    """It is a step all the same."""
    await ctx.step.run("log-in", log_in_anew, who)


BUILD = RIGHT.but(received=received_anew)
