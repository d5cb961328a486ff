"""`DevServer`: the engine behind an HTTP port, for a test, a demo or the command line.

async with DevServer(sdk_urls=["http://127.0.0.1:8000/api/inngest"]) as server:
    await server.advance(timedelta(hours=4))
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import uvicorn

from .core import rerun, sync
from .core.engine import Engine, InvalidEventError
from .core.state import INVOKED, App, Event, Function, Json, Run, State
from .views.connect import Gateway
from .views.realtime import Realtime
from .views.sdk import create_app

MAX_EVENTS = 5_000
"""Events in one request, as on the official server."""

MAX_EVENT_SIZE = 3 * 1024 * 1024
"""Bytes of JSON in one event, as on the official server."""


class NotFoundError(LookupError):
    """No such run, function or app; the message names it."""


class _Server(uvicorn.Server):
    """Leaves signals to whoever started the loop, and stops at once instead of at the next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `serve`."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class DevServer:
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
        self.engine = Engine(seed)
        self.gateway = Gateway(self.engine)
        self.realtime = Realtime(self.engine.clock)
        self.host = host
        self.port = port
        self._options = {"discovery": discovery, "poll": poll, "interval": poll_interval}
        self._sdk_urls = list(sdk_urls)
        self._tasks: list[asyncio.Task[None]] = []
        self._http: _Server | None = None

    @property
    def origin(self) -> str:
        """The address to give to apps, e.g. as INNGEST_DEV."""
        return f"http://{self.host}:{self.port}"

    @property
    def state(self) -> State:
        """Everything there is to see."""
        return self.engine.state

    async def start(self) -> None:
        """Listen, then begin to sync apps. Raises `OSError` when the port is taken."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # With the protocol left at 0 asyncio does not turn Nagle's algorithm off: each answer would take 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(self), log_level="error", access_log=False, timeout_graceful_shutdown=1, ws="websockets-sansio"
        )
        self._http = _Server(config)
        self._tasks.append(asyncio.create_task(self._http.serve(sockets=[listener])))
        while not self._http.started:
            if self._tasks[0].done():
                await self._tasks[0]
                raise RuntimeError("the HTTP server did not start")
            await asyncio.sleep(0.005)
        syncer = sync.Syncer(self.engine, self._sdk_urls, own_port=self.port, **self._options)  # type: ignore[arg-type]
        self._tasks.append(asyncio.create_task(syncer.run()))

    async def stop(self) -> None:
        """Stop listening and forget everything."""
        for task in self._tasks[1:]:
            task.cancel()
        self.realtime.close()
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

    # Time

    def now(self) -> datetime:
        """The server's time, UTC."""
        return self.engine.clock.datetime()

    async def advance(self, by: timedelta) -> int:
        """Move the clock forward, firing everything due on the way in order; return how many timers fired.

        Raises `ValueError` for a negative duration, `TimeoutError` when a request stays unanswered for 120
        seconds of real time.
        """
        return await self.engine.scheduler.advance(by.total_seconds())

    async def settle(self) -> None:
        """Wait until nothing is in flight and nothing is due now. `TimeoutError` after 120 seconds."""
        await self.engine.scheduler.settle()

    async def synced(self, app_id: str, timeout: float = 10.0) -> App:  # noqa: ASYNC109
        """Wait until an app has registered. `TimeoutError` after `timeout` seconds of real time."""
        async with asyncio.timeout(timeout):
            while app_id not in self.state.apps:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.state.apps[app_id]

    # What people and other rooms ask of it

    def register(self, payload: Json) -> dict[str, Any]:
        """Register an app's functions. Raises `registration.InvalidRegistrationError`."""
        return sync.register(self.engine, payload)

    def send_events(self, events: list[dict[str, Any]], internal_ids: list[str] | None = None) -> list[str]:
        """Take events in order and return their internal ids.

        Raises `InvalidEventError` at the first bad one, which is also the one that is too many.
        """
        ids: list[str] = []
        for number, event in enumerate(events):
            problem = (
                _problem(event) if number < MAX_EVENTS else f"Cannot have more than {MAX_EVENTS} events in a batch"
            )
            if problem:
                raise InvalidEventError(problem, ids)
            ids.append(self.engine.receive(event, internal_ids[number] if internal_ids else None).internal_id)
        return ids

    def invoke(
        self,
        app_id: str | None,
        function_id: str,
        data: dict[str, Any],
        *,
        user: dict[str, Any] | None = None,
        event_id: str | None = None,
    ) -> str:
        """Run one function with `data`, whatever triggers it; return the run's id.

        `function_id` is the slug, the UUID or, with `app_id`, the id its author wrote. A repeated `event_id` starts
        nothing. Raises `NotFoundError` for an unknown function, `ValueError` when flow control keeps the run from
        starting now.
        """
        function = self.state.find_function(function_id, app_id)
        if function is None:
            raise NotFoundError(f"function not found: {function_id}")
        event = self.invoke_event(function.id, data, user=user, event_id=event_id)
        if not event.run_ids:
            raise ValueError(f"flow control of {function.id} holds or drops the run")
        return event.run_ids[0]

    def invoke_event(
        self, slug: str, data: dict[str, Any], *, user: dict[str, Any] | None = None, event_id: str | None = None
    ) -> Event:
        """Send the event that invokes a function by slug; nothing happens when there is none."""
        metadata = {
            "expire": 0,
            "fn_id": slug,
            "gid": "",
            "name": "",
            "source_app_id": "",
            "source_fn_id": "",
            "source_fn_v": 0,
            "type": "api",
        }
        data = {**data, "_inngest": metadata}
        return self.engine.receive({"name": INVOKED, "data": data, "user": user, "id": event_id})

    def rerun(self, run_id: str, from_step: str | None = None) -> str:
        """Run the same event again as a new run; return its id. See `rerun.rerun`.

        Raises `NotFoundError` for an unknown run, and what `rerun.rerun` raises.
        """
        return rerun.rerun(self.engine, self.run(run_id), from_step).id

    def cancel_run(self, run_id: str) -> Run:
        """Cancel a run; one that has ended stays as it is. Raises `NotFoundError`."""
        run = self.run(run_id)
        live = self.engine.live.get(run_id)
        if live is not None:
            self.engine.cancel(live, "by request")
        return run

    def run(self, run_id: str) -> Run:
        """A run by id. Raises `NotFoundError`."""
        found = self.state.runs.get(run_id)
        if found is None:
            raise NotFoundError(f"run not found: {run_id}")
        return found

    def runs(self) -> list[Run]:
        """All runs, newest first."""
        return list(reversed(self.state.runs.values()))

    def events(self, *, internal: bool = False) -> list[Event]:
        """All events, newest first; those named `inngest/…` only when asked for."""
        found = reversed(self.state.events.values())
        return [e for e in found if internal or not e.name.startswith("inngest/")]

    def functions(self, app_id: str | None = None) -> list[Function]:
        """Functions of the newest syncs."""
        return list(self.state.active_functions(app_id))

    def apps(self) -> list[App]:
        """Apps that have registered."""
        return list(self.state.apps.values())


def _problem(event: Json) -> str | None:
    """Why the server refuses an event, in the official server's words; None when it does not."""
    if not isinstance(event, dict):
        return "Request body must contain an event object or an array of event objects"
    fields = {"name": (str, "string"), "data": (dict, "map[string]interface {}"), "id": (str, "string")}
    for name, (kind, go_type) in {**fields, "ts": (int, "int64")}.items():
        value = event.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            return f"json: cannot unmarshal {_json_type(value)} into Go struct field raw.{name} of type {go_type}"
    if not event.get("name"):
        return "event name is empty"
    size = len(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())
    if size > MAX_EVENT_SIZE:
        return f"Event is over the max size: Max {MAX_EVENT_SIZE} bytes / Size {size} bytes"
    if event["name"].lower().startswith("inngest/"):
        return f"event name is reserved for internal use: {event['name']}"
    return None


def _json_type(value: Json) -> str:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
