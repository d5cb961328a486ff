"""A stand-in engine and an app whose functions a test writes itself; neither needs a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import fastapi
import inngest
import inngest.fast_api

from offline.inngest_server import DevServer
from offline.inngest_server.core.state import Run
from offline.processes import free_port
from offline.serving import AppServer, served

Handler = Callable[[inngest.Context], Awaitable[Any]]


class World:
    """One engine and one app. Write functions with `on`, then `start`; `stop` and `start` again restart the app."""

    def __init__(self, server: DevServer, app_id: str = "app") -> None:
        self.server = server
        self.client = inngest.Inngest(
            app_id=app_id, api_base_url=server.origin, event_api_base_url=server.origin, is_production=False
        )
        self.functions: list[inngest.Function[Any]] = []
        self.port = free_port()
        self.log: list[Any] = []
        """Whatever the functions under test note down, in order."""
        self._app: AppServer | None = None
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the app answers."""
        return f"http://127.0.0.1:{self.port}/api/inngest"

    def on(
        self, event: str | inngest.TriggerCron, fn_id: str | None = None, **settings: Any
    ) -> Callable[[Handler], inngest.Function[Any]]:
        """Make a function that `event` (a name, or a cron trigger) starts; it is called like its handler."""
        trigger = inngest.TriggerEvent(event=event) if isinstance(event, str) else event

        def decorate(handler: Handler) -> inngest.Function[Any]:
            function = self.client.create_function(
                fn_id=fn_id or handler.__name__, trigger=settings.pop("trigger", trigger), **settings
            )(handler)
            self.functions.append(function)
            return function

        return decorate

    async def start(self, **options: Any) -> None:
        """Serve the functions and let the engine sync them."""
        await self.serve(self.app(self.functions, **options))
        async with self.server.engine.client.session.put(self.url) as answer:
            assert answer.status == 200, await answer.text()

    def app(self, functions: list[inngest.Function[Any]], **options: Any) -> fastapi.FastAPI:
        """The functions as an ASGI app, served with the SDK's `options`."""
        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, self.client, functions, **options)
        return app

    async def serve(self, app: Any) -> None:
        """Serve any ASGI app on the app's port."""
        self._app, _ = await self._stack.enter_async_context(served(app, self.port))

    async def stop(self) -> None:
        """Take the app away, in the middle of whatever it does."""
        if self._app is not None:
            self._app.crash()
        await self._stack.aclose()

    def send(self, name: str, event_id: str | None = None, **data: Any) -> str:
        """Send one event without waiting for anything; return its internal id."""
        raw = {"name": name, "data": data} | ({"id": event_id} if event_id else {})
        return self.server.send_events([raw])[0]

    async def sent(self, name: str, **data: Any) -> None:
        """Send one event and wait until everything it causes now has happened."""
        self.send(name, **data)
        await self.server.settle()

    async def advance(self, **duration: float) -> int:
        """Move the clock, e.g. by `hours=4`."""
        return await self.server.advance(timedelta(**duration))

    def runs(self, fn_id: str) -> list[Run]:
        """The runs of one function, oldest first."""
        return [run for run in self.server.state.runs.values() if run.function.local_id == fn_id]

    def run(self, fn_id: str) -> Run:
        """The only run of one function."""
        (run,) = self.runs(fn_id)
        return run


def note(log: list[Any], entry: Any, result: Any = None) -> Callable[[], Awaitable[Any]]:
    """A step body that writes `entry` to `log` and returns `result`."""

    async def body() -> Any:
        log.append(entry)
        return result

    return body
