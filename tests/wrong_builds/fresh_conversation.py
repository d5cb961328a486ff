"""After the yes the email is given to a new agent, which asks for the same refund again."""

from typing import Any

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer, think


async def from_the_beginning(saved: dict[str, Any], who: Customer, approved: bool, email: str) -> dict[str, Any]:
    """The saved state is not used."""
    return await think(email, who)


BUILD = RIGHT.but(resume=from_the_beginning)
