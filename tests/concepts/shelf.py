"""How the shelf's tests drive an engine: by events, by its clock, and by what the outside world was asked."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from concepts import outside
from offline.inngest_server import DevServer
from tests.durable.driver import PATIENCE_SECONDS, Engine

RUNS = """query($from: Time!) {
  runs(first: 399, orderBy: [{field: QUEUED_AT, direction: ASC}], filter: {from: $from}) {
    edges { node { id status function { slug } output } }
  }
}"""
# The official server's list of runs leaves the outputs out.
OUTPUT = "query($id: String!) { run(runID: $id) { output } }"


class Shelf(Engine):
    """What a test does with an engine that serves the shelf, the same on both."""

    def __init__(self, url: str, stand_in: DevServer | None) -> None:
        super().__init__(url, stand_in)
        self.stand_in = stand_in
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        """The engine's clock; the official server has this machine's."""
        return self.stand_in.now() if self.stand_in else datetime.now(UTC)

    async def runs(self, function_id: str, *statuses: str) -> list[dict[str, Any]]:
        """This test's runs of a function, oldest first: id, status and output; `statuses` as COMPLETED, FAILED, …"""
        return [
            run
            for run in await self._all_runs()
            if run["function"]["slug"] == f"concepts-{function_id}" and (not statuses or run["status"] in statuses)
        ]

    async def _all_runs(self) -> list[dict[str, Any]]:
        answer = await self.gql(RUNS, **{"from": self._began.isoformat()})
        return [edge["node"] for edge in answer["runs"]["edges"]]

    async def ended(self, function_id: str, status: str = "COMPLETED", count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many runs of the function have ended so; the runs."""

        async def so_many() -> int:
            return len(await self.runs(function_id, status))

        await self.eventually(so_many, count)
        runs = await self.runs(function_id, status)
        if self.stand_in is None:
            # Its list of runs leaves the output out.
            for run in runs:
                run["output"] = json.dumps((await self.run(run["id"])).get("output"))
        return runs

    async def outputs(self, function_id: str, count: int = 1) -> list[Any]:
        """Wait until so many runs of the function have returned something; what. Told a moment after the run's end."""
        runs = await self.ended(function_id, count=count)

        async def returned() -> list[str | None]:
            return [(await self.gql(OUTPUT, id=run["id"]))["run"]["output"] for run in runs]

        async def all_of_them() -> bool:
            return None not in await returned()

        await self.eventually(all_of_them, True)
        return [json.loads(output or "null") for output in await returned()]

    async def asked(self, name: str, times: int) -> list[Any]:
        """Wait until the outside world was asked this so many times; what it was asked. More is never right."""
        await self.until(lambda: len(outside.asked(name)) >= times, f"{name} {times} times")
        await self.settle()
        assert len(outside.asked(name)) == times, outside.calls
        return outside.asked(name)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something in this process holds."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, f"waited for {what}; so far: {outside.calls[-20:]}"
            await asyncio.sleep(0.01)

    async def past(self, **duration: float) -> None:
        """Let a little time pass: at once on the stand-in; on the official server what follows has to be waited for."""
        await self.settle()
        if self.stand_in is not None:
            await self.advance(**duration)

    async def past_retries(self) -> None:
        """Let the next retries happen. The official server takes its time, half a minute for the first of a step."""
        await self.past(minutes=10)

    async def cancel_all(self) -> None:
        """Cancel what this test has left unfinished."""
        for run in await self._all_runs():
            if run["status"] in {"QUEUED", "RUNNING"}:
                await self.cancel(run["id"])
