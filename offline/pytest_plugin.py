"""Fixtures for testing Inngest functions: a server in this process whose clock can be moved, and an app beside it.

    from my_app import app

    def test_silence_pays_nothing(inngest_server, inngest_app):
        inngest_app(app)
        event = inngest_server.send("refund/asked", {"order": "A-1001"})
        inngest_server.clock.advance(hours=4)
        (run,) = inngest_server.runs_of(event)
        assert run.output == "expired"

The server listens where INNGEST_DEV says. The plugin sets that to a free port before any test module is imported,
because the SDK's client reads it when it is made. Server and app run in a thread with a loop of its own, so tests may
be plain functions, whatever plugins for asyncio they use.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from _pytest.runner import runtestprotocol

from offline.processes import free_port

# Each pytest of an environment loads this file. The server takes a second to import, so a fixture does that.
if TYPE_CHECKING:
    from offline.inngest_server import DevServer
    from offline.inngest_server.core.state import Event, Run
    from offline.serving import AppServer

T = TypeVar("T")

MARK = "crash_at_every_step"
SIDES = ("before", "after")
RETRY_SECONDS = 61
"""No first or second retry of a call comes later."""

POLL_SECONDS = 0.02


@dataclass
class Crash:
    """The calls that the engine makes to the app, and the one at which the app's process dies, if there is one.

    `side` says whether it dies before the call does anything, or after all of it and before it is answered.
    """

    call: int = 0
    side: str = "before"
    function: str | None = None
    """The function whose calls count, by the id that its author wrote; None stands for all."""
    calls: list[str] = field(default_factory=list)
    """What each call so far reported: names of steps, or that the function ended."""
    is_recovered: bool = False

    @property
    def has_happened(self) -> bool:
        """Whether the call at which the process dies has come."""
        return 0 < self.call <= len(self.calls)

    def __str__(self) -> str:
        return f"The process was killed {self.side} call {self.call} of the engine ({self.calls[self.call - 1]})."


CRASH = pytest.StashKey[Crash]()


class Clock:
    """The server's clock, which runs by itself and can be moved."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def advance(self, **duration: float) -> None:
        """Move forward by `hours=4` or any other argument of `timedelta`; everything due on the way happens, in order.

        Raises ValueError for a negative duration, and TimeoutError when an app leaves a request unanswered for 120
        seconds.
        """
        # What is under way may begin a wait. It begins before the time that is skipped, and not within it.
        self._server.run(self._server.dev_server.settle())
        self._server.run(self._server.dev_server.advance(timedelta(**duration)))


class Server:
    """The server as a test sees it. Every method returns when it is done; none of them is a coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dev_server: DevServer, crash: Crash) -> None:
        self.dev_server = dev_server
        """The server itself, for all that is not here. Its coroutines have to be run with `run`."""
        self.clock = Clock(self)
        self._loop = loop
        self._crash = crash

    @property
    def url(self) -> str:
        """The server's address, which is also its page's."""
        return self.dev_server.origin

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop of server and app, for instance one that uses the app's database pool."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def send(self, name: str, data: dict[str, Any] | None = None, *, id: str | None = None) -> Event:  # noqa: A002
        """Send an event and return it, without waiting for what it starts. Raises InvalidEventError."""
        raw = {"name": name, "data": data or {}} | ({"id": id} if id else {})

        async def sent() -> Event:
            (internal_id,) = self.dev_server.send_events([raw])
            return self.dev_server.state.events[internal_id]

        return self.run(sent())

    def invoke(self, function_id: str, data: dict[str, Any] | None = None) -> Run:
        """Start a function by hand, as for one that waits for a cron, and return its run.

        `function_id` is the one that its author wrote. Raises NotFoundError for an unknown function, and ValueError
        when flow control keeps the run from starting now.
        """

        async def invoked() -> Run:
            known = {function.local_id: function.id for function in self.dev_server.functions()}
            return self.dev_server.run(self.dev_server.invoke(None, known.get(function_id, function_id), data or {}))

        return self.run(invoked())

    def cancel(self, run: Run) -> None:
        """Cancel a run. A step of it that is under way may finish."""

        async def cancelled() -> None:
            self.dev_server.cancel_run(run.id)

        self.run(cancelled())

    def runs_of(self, event: Event | str) -> list[Run]:
        """Return the runs that an event, or every event of a name, has started so far, once nothing is under way."""
        self.settle()
        if isinstance(event, str):
            return [run for run in self.dev_server.state.runs.values() if run.event.name == event]
        return self.dev_server.state.runs_of_event(event.internal_id)

    def settle(self) -> None:
        """Wait until nothing is under way and nothing is due now. Raises TimeoutError after 120 seconds."""
        self.run(self.dev_server.settle())
        if self._crash.has_happened and not self._crash.is_recovered:
            # The engine tries the interrupted call again, as if the process had been started anew meanwhile.
            self._crash.is_recovered = True
            self.clock.advance(seconds=RETRY_SECONDS)

    def until(self, question: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Ask until the answer is true, and return it. A coroutine function is run in the app's loop.

        Raises AssertionError after `timeout` seconds, with the last answer and where every run stands.
        """

        async def asked() -> Any:
            answer = question()
            return await answer if inspect.isawaitable(answer) else answer

        if self._crash.call:
            self.settle()
        deadline = time.monotonic() + timeout
        while not (answer := self.run(asked())) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not answer:
            raise AssertionError(f"After {timeout:g} s the answer is still {answer!r}.\n{self._where_runs_stand()}")
        return answer

    def fail_next(self, *, step: str, times: int = 1) -> None:
        """Take the next `times` results of a step for failures. Its body runs each time, as when a result is lost."""
        self.dev_server.fail_next(step, times)

    def _where_runs_stand(self) -> str:
        lines = [f"Runs at {self.dev_server.now():%H:%M:%S}:"]
        for run in self.dev_server.state.runs.values():
            lines.append(f"  {run.function.id}: {run.status}")
            lines += [f"    {step.name}: {step.status} {step.error or ''}".rstrip() for step in run.steps.values()]
        return "\n".join(lines if len(lines) > 1 else ["No run was started."])


class _CrashingApp:
    """An ASGI app that dies at one call of the engine, and until then takes down what each call reported."""

    def __init__(self, app: Any, crash: Crash) -> None:
        self.server: AppServer
        self._app = app
        self._crash = crash

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._counts(scope):
            await self._app(scope, receive, send)
            return
        self._crash.calls.append("")
        number = len(self._crash.calls)
        dies = number == self._crash.call
        if dies and self._crash.side == "before":
            await self._die()
        answer: list[Any] = []

        async def keep(message: Any) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        self._crash.calls[number - 1] = _reported(answer)
        if dies:
            await self._die()
        for message in answer:
            await send(message)

    def _counts(self, scope: Any) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        function = dict(parse_qsl(scope["query_string"].decode())).get("fnId")
        wanted = self._crash.function
        return function is not None and (wanted is None or function.endswith(f"-{wanted}"))

    async def _die(self) -> None:
        self.server.crash()
        # This task is one of those that `crash` has cancelled, and ends here.
        await asyncio.sleep(1)


def _reported(answer: list[Any]) -> str:
    """The steps that an answer of the SDK reports."""
    body = b"".join(message.get("body", b"") for message in answer)
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return ", ".join(op["displayName"] for op in json.loads(body) if "displayName" in op) or "the function's end"
    return "the function's end"


@pytest.fixture(scope="session")
def inngest_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop in which server and app run, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="inngest", daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def inngest_server(request: pytest.FixtureRequest, inngest_loop: asyncio.AbstractEventLoop) -> Iterator[Server]:
    """A server that knows no app yet, for one test."""
    from offline.inngest_server import DevServer  # noqa: PLC0415

    crash = request.node.stash.setdefault(CRASH, Crash())
    dev_server = DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, poll=False)
    server = Server(inngest_loop, dev_server, crash)
    server.run(dev_server.start())
    yield server
    server.run(dev_server.stop())


@pytest.fixture
def inngest_app(inngest_server: Server) -> Iterator[Callable[..., str]]:
    """`inngest_app(app)` serves an ASGI app in this process, lets it register, and returns its address.

    The app may be given as "module:name" too; `path` is where its functions are served. Raises AssertionError when it
    does not register.
    """
    import httpx  # noqa: PLC0415

    from offline.serving import served  # noqa: PLC0415

    stack = contextlib.AsyncExitStack()

    async def serve(app: Any, path: str) -> str:
        crashing = _CrashingApp(resolve_name(app) if isinstance(app, str) else app, inngest_server._crash)
        crashing.server, url = await stack.enter_async_context(served(crashing))
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.put(f"{url}{path}")
        registered = [known.url for known in inngest_server.dev_server.apps()]
        here = any(urlsplit(known).port == urlsplit(url).port for known in registered)
        assert answer.is_success and here, (  # noqa: PT018
            f"The app did not register at {inngest_server.url}: {answer.status_code} {answer.text}\n"
            "Was its Inngest client made before pytest set INNGEST_DEV, or with another address?"
        )
        return url

    yield lambda app, path="/api/inngest": inngest_server.run(serve(app, path))
    inngest_server.run(stack.aclose())


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Choose a port for the server of this process, before anything imports an app."""
    os.environ["INNGEST_DEV"] = f"http://127.0.0.1:{free_port()}"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, and choose a port if this was loaded too late to do it before."""
    config.addinivalue_line(
        "markers", f"{MARK}: run the test again for each call of the engine, with the app killed there"
    )
    os.environ.setdefault("INNGEST_DEV", f"http://127.0.0.1:{free_port()}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test with the mark once to count the engine's calls, and once for each call and each side of it.

    The fixtures of the test are made anew each time. The first failure ends it, and says where the process was killed.
    `crash_at_every_step(function="my-function")` leaves the calls of all other functions alone.
    """
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    function = mark.kwargs.get("function")
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    counted = Crash(function=function)
    reports = _run_once(item, counted)
    if not counted.calls and not _has_failed(reports):
        reports[1].outcome = "failed"
        reports[1].longrepr = "The engine called no app: the test has to serve its app with the fixture inngest_app."
    for call, side in [(number + 1, side) for number in range(len(counted.calls)) for side in SIDES]:
        if _has_failed(reports):
            break
        crash = Crash(call, side, function)
        reports = _run_once(item, crash)
        for report in reports:
            if crash.has_happened:
                crash.calls[call - 1] = counted.calls[call - 1]
                report.sections.append(("crash_at_every_step", str(crash)))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run_once(item: pytest.Item, crash: Crash) -> list[pytest.TestReport]:
    """Run setup, test and teardown, and keep what is shared with other tests."""
    item.stash[CRASH] = crash
    if hasattr(item, "_initrequest"):
        item._initrequest()
    # The next item decides what stays set up. The parent of this one stands for any other test of its file.
    return runtestprotocol(item, log=False, nextitem=item.parent)  # type: ignore[arg-type]


def _has_failed(reports: list[pytest.TestReport]) -> bool:
    return any(not report.passed for report in reports)
