"""Serves an ASGI app in this process, on a port of 127.0.0.1, and can end as a killed process ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

KEEP_ALIVE_SECONDS = 300
"""An engine keeps idle connections open. If the app closed one just as a call comes in, the call would fail."""


class AppServer(uvicorn.Server):
    """Leaves signals to whoever started the loop, and ends as soon as it is told to, not at uvicorn's next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `serve`, once the requests that are under way are answered or the config's time for that is up."""
        self.should_exit = True
        self._stopping.set()

    def crash(self) -> None:
        """End every request that is under way, as the death of the process would. Nothing of them is answered."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    async def main_loop(self) -> None:
        """Do every tenth of a second what uvicorn has to do, until `stop`."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Do what uvicorn does in the end, without its pauses of a tenth of a second: tests stop many servers."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 (no event either)
                    await asyncio.sleep(0.002)
        self.crash()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Change no signal handler."""
        yield


def bound_socket(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a socket bound to an address; port 0 takes a free one. Raises OSError when the port is taken.

    It names its protocol: otherwise asyncio leaves Nagle's algorithm on, and every answer takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


@contextlib.asynccontextmanager
async def served(app: Any, port: int = 0, **options: Any) -> AsyncIterator[tuple[AppServer, str]]:
    """Serve `app` on a port, or on a free one for 0, and yield the server and its address.

    `options` are uvicorn's, in place of those below. Raises OSError when the port is taken, and RuntimeError when the
    app's lifespan fails at its start.
    """
    usual: dict[str, Any] = {
        "log_level": "critical",
        "lifespan": "off",
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": 1,
    }
    with bound_socket(port=port) as listener:
        server = AppServer(uvicorn.Config(app, **usual | options))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn has no event)
                await asyncio.sleep(0.005)
            if not server.started:
                raise RuntimeError("The app did not start: its lifespan failed.")
            yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await serving
