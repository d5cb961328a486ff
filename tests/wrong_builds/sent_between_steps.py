"""The events are sent by the client between the steps: sent again at every call of the function."""

import inngest

from tests.wrong_builds.learner import RIGHT


async def told_at_every_call(_: inngest.Context, client: inngest.Inngest, checks: list[inngest.Event]) -> None:
    """Nothing remembers that they were sent."""
    await client.send(checks)


BUILD = RIGHT.but(told=told_at_every_call)
