"""The shelf, or a part of it, served anew: in this process, or in one that can be killed.

What such a process asks of the outside world it asks of this one, over HTTP: the counts survive it.
"""

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn

from concepts import outside
from concepts.app import app
from concepts.shelf import client
from offline.processes import free_port
from tests import forked
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

    def __init__(self, world: str) -> None:
        self._world = world
        self._port = free_port()
        self._process: BaseProcess | None = None

    async def start(self, die_after: str = "", **settings: str) -> None:
        """Start it and sync it. `die_after`: it kills itself as soon as this call of the outside world has returned."""
        environment = {"INNGEST_DEV": os.environ["INNGEST_DEV"], "DIE_AFTER": die_after, **settings}
        self._process = forked.start(_serve, self._port, self._world, environment)
        url = f"http://127.0.0.1:{self._port}"
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as http:
            while True:
                assert self._process.is_alive(), f"it ended as it started, with {self._process.exitcode}"
                try:
                    await http.get(f"{url}/api/inngest")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.01)
        await synced(url)

    def kill(self) -> None:
        """SIGKILL; it is gone on return. Nothing happens if it was not started."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    async def died(self) -> None:
        """Wait until it has killed itself."""
        assert self._process
        async with asyncio.timeout(START_SECONDS):
            while self._process.is_alive():
                await asyncio.sleep(0.01)
        assert self._process.exitcode == -signal.SIGKILL


@asynccontextmanager
async def apart() -> AsyncIterator[Program]:
    """The shelf apart from this process, not started yet. On leaving, nothing of it is left."""
    world = fastapi.FastAPI()

    @world.post("/{name}")
    async def ask(name: str, arguments: list[Any]) -> Any:
        return await getattr(outside, name)(*arguments)

    async with listening(world) as url:
        program = Program(url)
        try:
            yield program
        finally:
            program.kill()


def _serve(port: int, world: str, environment: dict[str, str]) -> None:
    # The process that this one was forked from has what an earlier test has set.
    os.environ.clear()
    os.environ |= environment

    def remote(name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            async with httpx.AsyncClient(base_url=world, timeout=START_SECONDS) as http:
                answer = (await http.post(f"/{name}", json=arguments)).raise_for_status().json()
            if name == os.environ["DIE_AFTER"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    vars(outside).update({name: remote(name) for name in vars(outside) if _is_asked(name)})
    uvicorn.run(app, port=port, log_level="warning", timeout_keep_alive=300)


def _is_asked(name: str) -> bool:
    return not name.startswith("_") and inspect.iscoroutinefunction(getattr(outside, name))
