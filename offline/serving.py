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
    """Leaves signals to whoever started the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Change no signal handler."""
        yield

    def crash(self) -> None:
        """End every request that is under way, as the death of the process would. Nothing of them is answered."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


@contextlib.asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[tuple[AppServer, str]]:
    """Serve `app` on a port, or on a free one for 0, and yield the server and its address.

    Raises OSError when the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            app,
            log_level="critical",
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        server = AppServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn has no event)
                await asyncio.sleep(0.005)
            yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
