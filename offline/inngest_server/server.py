"""`DevServer`: the engine behind an HTTP port, for a test, a demo or the command line.

async with DevServer(sdk_urls=["http://127.0.0.1:8000/api/inngest"]) as server:
    await server.advance(timedelta(hours=4))
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from offline.serving import AppServer, bound_socket

from .core.state import App
from .core.sync import Syncer
from .service import Service
from .views import page, rest_v1, rest_v2, sdk_api, stand_in
from .views.connect import Gateway
from .views.realtime import Realtime


class DevServer(Service):
    """A stand-in for the Inngest dev server. `port` 0 takes a free one; `sdk_urls` are apps to sync.

    `discovery` looks for apps on the usual ports; `poll` asks synced apps again every `poll_interval` seconds.
    `seed` makes retry jitter repeatable. Raises `OSError` on start when the port is taken.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sdk_urls: Iterable[str] = (),
        discovery: bool = False,
        poll: bool = True,
        poll_interval: float = 5.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.host = host
        self.port = port
        self.gateway = Gateway(self)
        self._realtime = Realtime(self)
        self._syncer = Syncer(self.engine, sdk_urls, discovery=discovery, poll=poll, interval=poll_interval)
        self._tasks: list[asyncio.Task[None]] = []
        self._http: AppServer | None = None

    @property
    def origin(self) -> str:
        """The address to give to apps, e.g. as INNGEST_DEV."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen, then begin to sync apps. Raises `OSError` when the port is taken."""
        listener = bound_socket(self.host, self.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._application(),
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
        )
        self._http = AppServer(config)
        self._tasks.append(asyncio.create_task(self._http.serve(sockets=[listener])))
        while not self._http.started:
            if self._tasks[0].done():
                await self._tasks[0]
                raise RuntimeError("the HTTP server did not start")
            await asyncio.sleep(0.005)
        self._tasks.append(asyncio.create_task(self._syncer.run(self.port)))

    async def stop(self) -> None:
        """Stop listening and end everything that is under way; `state` can still be read."""
        for task in self._tasks[1:]:
            task.cancel()
        self._realtime.close()
        await self.gateway.close()
        await self.engine.scheduler.close()
        if self._http is not None:
            self._http.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.client.close()
        self._tasks.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def synced(self, app_id: str, timeout: float = 10.0) -> App:  # noqa: ASYNC109
        """Wait until an app has registered. Raises `TimeoutError` after `timeout` seconds of real time."""
        async with asyncio.timeout(timeout):
            while app_id not in self.state.apps:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.state.apps[app_id]

    def _application(self) -> Starlette:
        routes = [
            *sdk_api.routes(self),
            *rest_v1.routes(self),
            *rest_v2.routes(self),
            *self.gateway.routes(),
            *self._realtime.routes(),
            *page.routes(self),
        ]
        lifespan = None
        try:
            from .views import graphql  # noqa: PLC0415

            routes += graphql.routes(self)
        except ModuleNotFoundError as error:
            routes += stand_in.missing("/v0/gql", "graphql", error)
        try:
            from .views.mcp import McpEndpoint  # noqa: PLC0415

            mcp = McpEndpoint(self)
            routes += mcp.routes()
            lifespan = mcp.lifespan
        except ModuleNotFoundError as error:
            routes += stand_in.missing("/mcp", "mcp", error)
        return Starlette(routes=[*routes, *stand_in.routes(self)], lifespan=lifespan)
