"""No model reads the email: every customer gets the same answer."""

from typing import Any

import inngest

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer


async def canned() -> dict[str, Any]:
    """The same for everybody."""
    return {"reply": "Thank you for your email, we will look into it.", "state": None}


async def without_a_model(ctx: inngest.Context, _: str, __: Customer) -> dict[str, Any]:
    """It is a step all the same."""
    return await ctx.step.run("think", canned)


BUILD = RIGHT.but(answered=without_a_model)
