"""How the shelf's tests drive an engine: by events, by its clock, and by what the outside world was asked."""

from typing import Any

import httpx

from concepts import outside
from offline.inngest_server import DevServer
from offline.inngest_server.core.state import Run
from tests.durable.driver import Engine


class Shelf(Engine):
    """What a test does with an engine that serves the shelf, the same on both."""

    @property
    def stand_in(self) -> DevServer | None:
        """What can be looked into, unless this is the official server."""
        return None if self.is_official else self.dev_server

    async def gql(self, query: str, **variables: Any) -> Any:
        """Ask the engine's GraphQL, which both serve and the dashboard uses."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            return (await http.post("/v0/gql", json={"query": query, "variables": variables})).json()["data"]

    async def runs(self, function_id: str | None = None, *statuses: str) -> list[Run]:
        """This test's runs of a function, oldest first; `statuses` as COMPLETED, FAILED, …"""
        return [run for run in await super().runs(function_id) if not statuses or run.status.v2_name in statuses]

    async def ended(self, function_id: str, status: str = "COMPLETED", count: int = 1) -> list[Run]:
        """Wait until so many runs of the function have ended so; the runs."""

        async def so_many() -> int:
            return len(await self.runs(function_id, status))

        await self.until(so_many, count)
        return await self.runs(function_id, status)

    async def outputs(self, function_id: str, count: int = 1) -> list[Any]:
        """Wait until so many runs of the function have returned something; what."""
        return [run.output for run in await self.ended(function_id, count=count)]

    async def asked(self, name: str, times: int) -> list[Any]:
        """Wait until the outside world was asked this so many times; what it was asked. More is never right."""
        await self.until(lambda: len(outside.asked(name)) >= times)
        await self.settle()
        assert len(outside.asked(name)) == times, outside.calls
        return outside.asked(name)

    async def past(self, **duration: float) -> None:
        """Let a little time pass: at once on the stand-in; on the official server what follows has to be waited for."""
        await self.settle()
        if not self.is_official:
            await self.advance(**duration)

    async def past_retries(self) -> None:
        """Let the next retries happen. The official server takes its time, half a minute for the first of a step."""
        await self.past(minutes=10)
