"""The first row is written between the steps, under a key that is new each time."""

from uuid import uuid4

import inngest

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer, write


async def at_every_call(_: inngest.Context, who: Customer) -> None:
    """Written again at every call."""
    await write("message_received", who, key=str(uuid4()))


BUILD = RIGHT.but(received=at_every_call)
