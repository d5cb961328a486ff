"""The agent is called between the steps: the model is paid again at every call of the function."""

from typing import Any

import inngest

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer, think


async def at_every_call(_: inngest.Context, email: str, who: Customer) -> dict[str, Any]:
    """Nothing remembers the answer."""
    return await think(email, who)


BUILD = RIGHT.but(answered=at_every_call)
