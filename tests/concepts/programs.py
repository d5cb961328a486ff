"""The shelf, or a part of it, served anew: in this process, or in one that can be killed.

What such a process asks of the outside world it asks of this one, over HTTP: the counts survive it.
"""

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn

from concepts import outside
from concepts.app import app
from concepts.shelf import client
from offline.processes import Process, Processes, free_port
from tests.serving import listening, synced

START_SECONDS = 30.0


@asynccontextmanager
async def serving(functions: Iterable[inngest.Function[Any]]) -> AsyncIterator[None]:
    """These functions alone, in place of what the engine knew of the shelf before."""
    part = fastapi.FastAPI()
    inngest.fast_api.serve(part, client, list(functions))
    async with listening(part) as url:
        await synced(url)
        yield


class Program:
    """The whole shelf as a process of its own, always on the same port."""

    def __init__(self, processes: Processes, world: str) -> None:
        self._processes = processes
        self._world = world
        self._port = free_port()
        self._process: Process | None = None

    async def start(self, die_after: str = "", **settings: str) -> None:
        """Start it and sync it. `die_after`: it kills itself as soon as this call of the outside world has returned."""
        environment = {"INNGEST_DEV": os.environ["INNGEST_DEV"], "DIE_AFTER": die_after, **settings}
        arguments = ("-m", "tests.concepts.programs", str(self._port), self._world)
        self._process = self._processes.start("shelf", *arguments, environment=environment)
        url = f"http://127.0.0.1:{self._port}"
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as http:
            while True:
                assert self._process.running, self._process.tail()
                try:
                    await http.get(f"{url}/api/inngest")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        await synced(url)

    def kill(self) -> None:
        """SIGKILL; it is gone on return."""
        assert self._process
        self._processes.kill(self._process)

    async def died(self) -> None:
        """Wait until it has killed itself."""
        assert self._process
        async with asyncio.timeout(START_SECONDS):
            while self._process.running:
                await asyncio.sleep(0.02)
        assert self._process.popen.returncode == -signal.SIGKILL, self._process.tail()


@asynccontextmanager
async def apart() -> AsyncIterator[Program]:
    """The shelf apart from this process, not started yet. On leaving, nothing of it is left."""
    world = fastapi.FastAPI()

    @world.post("/{name}")
    async def ask(name: str, arguments: list[Any]) -> Any:
        return await getattr(outside, name)(*arguments)

    async with listening(world) as url:
        with Processes() as processes:
            yield Program(processes, url)


def _main(port: str, world: str) -> None:
    def remote(name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            async with httpx.AsyncClient(base_url=world, timeout=START_SECONDS) as http:
                answer = (await http.post(f"/{name}", json=arguments)).raise_for_status().json()
            if name == os.environ["DIE_AFTER"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    vars(outside).update({name: remote(name) for name in vars(outside) if _is_asked(name)})
    uvicorn.run(app, port=int(port), log_level="warning", timeout_keep_alive=300)


def _is_asked(name: str) -> bool:
    return not name.startswith("_") and inspect.iscoroutinefunction(getattr(outside, name))


if __name__ == "__main__":
    _main(*sys.argv[1:])
