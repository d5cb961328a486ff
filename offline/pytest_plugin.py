"""Fixtures for testing Inngest functions: a server in this process whose clock can be moved, and an app beside it.

    from my_app import app

    def test_silence_pays_nothing(inngest_server, inngest_app):
        inngest_app(app)
        event = inngest_server.send("refund/asked", {"order": "A-1001"})
        inngest_server.clock.advance(hours=4)
        (run,) = inngest_server.runs_of(event)
        assert run.output == "expired"

The server listens where INNGEST_DEV says. The plugin sets that to a free port before any test module is imported,
because the SDK's client reads it when it is made. For plain functions server and app run in a thread with a loop of its
own; for coroutines `async_inngest_server` runs them in the loop of the test.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from offline.crashes import CRASH, SIDES, Crash
from offline.processes import free_port

try:
    from pytest_asyncio import fixture as async_fixture
except ModuleNotFoundError:
    # Other plugins for async tests find async fixtures by themselves.
    async_fixture = pytest.fixture  # type: ignore[assignment]

# Each pytest of an environment loads this file. The server takes a second to import, so a fixture does that.
if TYPE_CHECKING:
    from offline.testing import AsyncServer, Server

MARK = "crash_at_every_step"


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
def inngest_starts_at() -> datetime | None:
    """Where the server's clock starts: now. A test or a conftest may override this with a time to come."""
    return None


@pytest.fixture
def inngest_server(request: pytest.FixtureRequest, inngest_loop: asyncio.AbstractEventLoop) -> Iterator[Server]:
    """A server that knows no app yet, for one test."""
    from offline.testing import AsyncServer, Server  # noqa: PLC0415

    server = AsyncServer.for_test(request)
    facade = Server(server, inngest_loop)
    facade.run(server.__aenter__())
    yield facade
    facade.run(server.__aexit__())


@pytest.fixture
def inngest_app(inngest_server: Server) -> Callable[..., str]:
    """`inngest_app(app)` serves an ASGI app in this process, lets it register, and returns its address."""
    return inngest_server.serve


@async_fixture
async def async_inngest_server(request: pytest.FixtureRequest) -> AsyncIterator[AsyncServer]:
    """A server that knows no app yet, for one test and in its loop: `await async_inngest_server.serve(app)`."""
    from offline.testing import AsyncServer  # noqa: PLC0415

    async with AsyncServer.for_test(request) as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Choose a port for the server of this process, before anything imports an app."""
    _choose_address()


def _choose_address() -> None:
    os.environ["INNGEST_DEV"] = os.environ.get("INNGEST_TEST_SERVER") or f"http://127.0.0.1:{free_port()}"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, and choose a port if this was loaded too late to do it before."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(function=None): run the test again for each call of the engine, or of one function, with the app"
        " killed there",
    )
    if "INNGEST_DEV" not in os.environ:
        _choose_address()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a mark that would be taken for another than its author meant."""
    mark = item.get_closest_marker(MARK)
    if mark is not None and mark.args:
        raise pytest.UsageError(f'{item.nodeid}: say @pytest.mark.{MARK}(function="{mark.args[0]}")')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test with the mark once to count the engine's calls, and once for each call and each side of it.

    The fixtures of the test are made anew each time. The first failure ends it, and says where the process was killed.
    `crash_at_every_step(function="my-function")` leaves the calls of all other functions alone.
    """
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    if os.environ.get("INNGEST_TEST_SERVER"):
        item.add_marker(pytest.mark.skip(reason="the official server's clock cannot be moved to the retries"))
        return None
    function = mark.kwargs.get("function")
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    counted = Crash(function=function)
    reports = _run_once(item, counted)
    if not counted.calls and not _has_failed(reports):
        reports[1].outcome = "failed"
        reports[1].longrepr = (
            "The engine made no call that counts: the test has to serve its app with inngest_app or serve(), and the"
            " mark's `function`, if it has one, has to be the id of a function that the test starts."
        )
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
