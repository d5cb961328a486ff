"""An Inngest server as a test sees it: `AsyncServer` for coroutines, and `Server`, the same for plain functions.

The server is the stand-in, which runs in the test's process and whose clock can be moved, or the one that
INNGEST_TEST_SERVER names. It listens where INNGEST_DEV says, because that is where apps register and send events.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import os
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from offline import official
from offline.crashes import CRASH, Crash, CrashingApp
from offline.inngest_server import DevServer
from offline.inngest_server.core import go_json
from offline.inngest_server.core.state import Event, Run
from offline.inngest_server.service import NotFoundError
from offline.serving import served

P = ParamSpec("P")
T = TypeVar("T")

TRUE: Any = object()
"""Stands for any answer that is true."""

PATIENCE_SECONDS = 30.0
"""How long `until` asks the stand-in, unless it is told otherwise."""

ANSWER_SECONDS = 1.0
"""How long a question of `until` may take, also when the time is nearly up."""

POLL_SECONDS = 0.02

RETRY_SECONDS = 61
"""The first and the second retry of a call come sooner."""


class AsyncServer:
    """A server that runs as long as its `async with` block. The apps that it serves run in the loop of that block, too.

    On the official server, a call that it cannot do skips the test, and the runs that a test leaves unfinished are
    cancelled in the end, so that no later event wakes them.
    """

    lifespan = "auto"
    """Whether an app's lifespan is run while it is served, as uvicorn's option of this name says."""

    def __init__(
        self, *, starts_at: datetime | None = None, seed: int | None = None, crash: Crash | None = None
    ) -> None:
        """Prepare a server whose clock starts at a time, or now. `seed` makes the jitter of retries repeatable."""
        self._starts_at = starts_at
        self._crash = crash
        self._stack = contextlib.AsyncExitStack()
        self._apps = contextlib.AsyncExitStack()
        address = os.environ.get("INNGEST_TEST_SERVER")
        self._official = official.OfficialServer(address) if address else None
        self._stand_in = DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, poll=False, seed=seed)
        self.url = address or self._stand_in.origin
        """The server's address, which is also its page's."""

    @classmethod
    def for_test(cls, request: pytest.FixtureRequest) -> Self:
        """Prepare the server of one test, as the fixture `inngest_starts_at` and the test's mark ask for it."""
        return cls(starts_at=request.getfixturevalue("inngest_starts_at"), crash=request.node.stash.get(CRASH, None))

    async def __aenter__(self) -> Self:
        """Start the server. Raises OSError when its port is taken, and ValueError for a start that is past."""
        # The server ends first: what it still asks of the apps is not waited for.
        await self._stack.enter_async_context(self._apps)
        if self._official is not None:
            self._stack.push_async_callback(self._official.close)
            return self
        if self._starts_at is not None:
            if self._starts_at.tzinfo is None or self._starts_at < self._stand_in.now():
                raise ValueError(f"inngest_starts_at has to lie ahead and to name its time zone: {self._starts_at}")
            # No app is known yet: nothing falls due on the way.
            await self._stand_in.advance(self._starts_at - self._stand_in.now())
        await self._stack.enter_async_context(self._stand_in)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def is_official(self) -> bool:
        """Whether this is the official server."""
        return self._official is not None

    @property
    def dev_server(self) -> DevServer:
        """The stand-in itself, for all that is not here."""
        if self._official is not None:
            pytest.skip("the official server cannot be looked into")
        return self._stand_in

    @property
    def clock(self) -> Self:
        """This server once more, so that a test may say `clock.advance(hours=4)` and `clock.now()`."""
        return self

    def now(self) -> datetime:
        """Return the server's time, UTC. The official server is taken to have this machine's."""
        return datetime.now(UTC) if self.is_official else self._stand_in.now()

    async def serve(self, app: Any, path: str = "/api/inngest") -> str:
        """Serve an ASGI app in this process, let it register, and return its address.

        The app may be given as "module:name" too; `path` is where its functions are served. Its lifespan is run.
        Raises AssertionError when it does not register, and RuntimeError when its lifespan fails at the start.
        """
        crashing = CrashingApp(resolve_name(app) if isinstance(app, str) else app, self._crash)
        crashing.server, url = await self._apps.enter_async_context(served(crashing, lifespan=self.lifespan))
        # The request does not go over the network: a client that can do TLS takes 20 ms to make.
        way = httpx.ASGITransport(crashing, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=way, base_url=url, timeout=30) as http:
            answer = await http.put(path)
        ports = [urlsplit(known.url).port for known in self._stand_in.apps()]
        assert answer.is_success and (self.is_official or urlsplit(url).port in ports), (  # noqa: PT018
            f"The app did not register at {self.url}: {answer.status_code} {answer.text}\n"
            f"Is it an ASGI app that serves its functions at {path}?\n"
            "Was its Inngest client made before pytest set INNGEST_DEV, or with another address?\n"
            "Or was the app served before, in a loop that has ended? Tests that share an app have to share a loop."
        )
        if self._crash is not None:
            wanted = [known.id for known in self._stand_in.functions() if known.local_id == self._crash.function]
            self._crash.full_ids.update(wanted)
        return url

    async def send(self, name: str, data: dict[str, Any] | None = None, *, id: str | None = None) -> Event:  # noqa: A002
        """Send an event and return it, without waiting for what it starts. Raises InvalidEventError."""
        event = {"name": name, "data": data or {}} | ({"id": id} if id else {})
        if self._official is not None:
            return await self._official.send(event)
        # Nothing reaches the app that could not have come over HTTP.
        (internal_id,) = self._stand_in.send_events([go_json.loads(json.dumps(event).encode())])
        return self._stand_in.state.events[internal_id]

    async def invoke(self, function_id: str, data: dict[str, Any] | None = None) -> Run:
        """Start a function by hand, as for one that waits for a cron, and return its run.

        `function_id` is the one that its author wrote. Raises NotFoundError for an unknown function, and ValueError
        when flow control keeps the run from starting now.
        """
        if self._official is not None:
            return await self._official.invoke(function_id, data or {})
        known = {function.local_id: function.id for function in self._stand_in.functions()}
        full_id = known.get(function_id, function_id)
        if full_id not in known.values():
            raise NotFoundError(f"function not found: {function_id}; known are {', '.join(known)}")
        return self._stand_in.run(self._stand_in.invoke(None, full_id, data or {}))

    async def cancel(self, run: Run | str) -> None:
        """Cancel a run, or the run with an id. A step of it that is under way may finish."""
        run_id = run if isinstance(run, str) else run.id
        if self._official is not None:
            await self._official.cancel(run_id)
        else:
            self._stand_in.cancel_run(run_id)

    async def runs_of(self, event: Event | str) -> list[Run]:
        """Return the runs that an event, or every event of a name, has started so far, once nothing is under way."""
        await self.settle()
        return [run for run in await self.runs() if event in (run.event.name, *run.events)]

    async def runs(self, function_id: str | None = None) -> list[Run]:
        """Return all runs so far, or those of the function with the id that its author wrote, oldest first."""
        found = self._stand_in.state.runs.values() if self._official is None else await self._official.runs()
        return [run for run in found if function_id in (None, run.function.local_id)]

    async def settle(self) -> None:
        """Wait until nothing is under way and nothing is due now. Raises TimeoutError after 120 seconds."""
        if self._official is not None:
            await self._official.settle()
            return
        await self._stand_in.settle()
        if self._crash is not None and self._crash.has_happened and not self._crash.is_recovered:
            # The engine tries the interrupted call again, as if the process had been started anew meanwhile.
            self._crash.is_recovered = True
            await self.advance(seconds=RETRY_SECONDS)

    async def advance(self, **duration: float) -> None:
        """Move the clock by `hours=4` or other arguments of `timedelta`. All that is due on the way happens, in order.

        Raises ValueError for a negative duration, and TimeoutError when an app leaves a request unanswered for 120
        seconds.
        """
        if self._official is not None:
            pytest.skip("the official server's clock cannot be moved")
        # What is under way may begin a wait. It begins before the time that is skipped, and not within it.
        await self._stand_in.settle()
        await self._stand_in.advance(timedelta(**duration))

    async def until(self, question: Callable[[], Any], expected: Any = TRUE, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Ask until the answer is the expected one, or true, and return it. The question may be a coroutine function.

        Raises AssertionError after `timeout` seconds, 30 if none are given, with the last answer and where every run
        stands. On the official server it waits for 60.
        """
        if timeout is None:
            timeout = official.PATIENCE_SECONDS if self.is_official else PATIENCE_SECONDS
        if self._crash is not None:
            await self.settle()
        deadline = time.monotonic() + timeout
        while True:
            limit = asyncio.timeout(max(deadline - time.monotonic(), ANSWER_SECONDS))
            try:
                async with limit:
                    answer = question()
                    while inspect.isawaitable(answer):
                        answer = await answer
            except TimeoutError:
                if not limit.expired():
                    raise
                answer = TimeoutError("the question itself was not answered in time")
                break
            if answer == expected or (expected is TRUE and answer):
                return answer
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
            # On the official server this brings the runs up to date that the question may look at.
            await self.runs()
        wanted = "" if expected is TRUE else f", and not {expected!r}"
        raise AssertionError(
            f"After {timeout:g} s the answer is still {answer!r}{wanted}.\n{self._where_they_stand(await self.runs())}"
        )

    def fail_next(self, *, step: str, times: int = 1) -> None:
        """Take the next `times` results of a step for failures. Its body runs each time, as when a result is lost."""
        if self._official is not None:
            pytest.skip("the official server does not let its steps fail")
        self._stand_in.fail_next(step, times)

    def _where_they_stand(self, runs: list[Run]) -> str:
        lines = [f"Runs at {self.now():%H:%M:%S}:" if runs else "No run was started."]
        for run in runs:
            lines.append(f"  {run.function.id}: {run.status}")
            if not self.is_official:
                lines += [f"    {step.name}: {step.status} {step.error or ''}".rstrip() for step in run.steps.values()]
        return "\n".join(lines)


def _waiting(
    method: Callable[Concatenate[AsyncServer, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Server, P], T]:
    """Return a method of `Server` that does the same, and returns when it is done."""

    def call(self: Server, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self.run(method(self._server, *arguments, **named))

    return functools.update_wrapper(call, method)


class Server:
    """An `AsyncServer` for plain functions. Its loop, which is also the apps', runs in a thread of its own."""

    def __init__(self, server: AsyncServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    @property
    def url(self) -> str:
        """The server's address, which is also its page's."""
        return self._server.url

    @property
    def dev_server(self) -> DevServer:
        """The stand-in itself, for all that is not here. Its coroutines have to be run with `run`."""
        return self._server.dev_server

    @property
    def clock(self) -> Self:
        """This server once more, so that a test may say `clock.advance(hours=4)` and `clock.now()`."""
        return self

    def now(self) -> datetime:
        """Return the server's time, UTC. The official server is taken to have this machine's."""
        return self._server.now()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop of server and app, for instance one that uses the app's database pool."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    serve = _waiting(AsyncServer.serve)
    send = _waiting(AsyncServer.send)
    invoke = _waiting(AsyncServer.invoke)
    cancel = _waiting(AsyncServer.cancel)
    runs_of = _waiting(AsyncServer.runs_of)
    runs = _waiting(AsyncServer.runs)
    settle = _waiting(AsyncServer.settle)

    def advance(self, **duration: float) -> None:
        """Move the clock as `AsyncServer.advance` does."""
        self.run(self._server.advance(**duration))

    def until(self, question: Callable[[], Any], expected: Any = TRUE, timeout: float | None = None) -> Any:
        """Ask as `AsyncServer.until` does. A coroutine function is run in the app's loop."""
        # A plain question may ask this server, which in the loop itself would wait for ever.
        return self.run(self._server.until(functools.partial(asyncio.to_thread, question), expected, timeout))

    def fail_next(self, *, step: str, times: int = 1) -> None:
        """Take the next `times` results of a step for failures. Its body runs each time, as when a result is lost."""
        self._server.fail_next(step=step, times=times)
