"""The pytest plugin, used as a stranger would, on functions of its own. The other tests here use it on the app."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import fastapi
import inngest
import inngest.fast_api
import pytest

from offline.inngest_server import DevServer
from offline.inngest_server.core.state import RunStatus
from offline.inngest_server.service import NotFoundError
from offline.serving import served
from offline.testing import AsyncServer, Server

pytestmark = pytest.mark.skipif("INNGEST_TEST_SERVER" in os.environ, reason="each test starts a server of its own")
Serve = Callable[..., str]


@pytest.fixture
def paid() -> list[str]:
    """What the app of `counting` did, in order."""
    return []


@pytest.fixture
def counting(paid: list[str]) -> fastapi.FastAPI:
    """An app whose function does something, waits for an hour, and does something else, each under a key."""
    client = inngest.Inngest(app_id="counting")

    @client.create_function(fn_id="twice", trigger=inngest.TriggerEvent(event="count"))
    async def twice(ctx: inngest.Context) -> str:
        async def once(what: str) -> str:
            paid.append(what)
            return what

        await ctx.step.run("first", once, "first")
        await ctx.step.sleep("pause", timedelta(hours=1))
        await ctx.step.run("second", once, "second")
        return "done"

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [twice])
    return app


def test_time_passes_when_a_test_says_so(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    event = inngest_server.send("count")
    (run,) = inngest_server.runs_of(event)
    assert paid == ["first"]
    inngest_server.clock.advance(hours=1)
    assert (paid, run.output) == (["first", "second"], "done")


def test_a_function_is_invoked_and_its_run_cancelled(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    with pytest.raises(NotFoundError, match="function not found: ice; known are twice"):
        inngest_server.invoke("ice")
    run = inngest_server.invoke("twice", {"by": "hand"})
    inngest_server.settle()
    inngest_server.cancel(run)
    inngest_server.advance(hours=2)
    assert (paid, run.status, run.event.data["by"]) == (["first"], RunStatus.CANCELLED, "hand")


def test_a_step_that_is_made_to_fail_is_tried_again(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    inngest_server.fail_next(step="first")
    event = inngest_server.send("count")
    (run,) = inngest_server.runs_of(event)
    assert paid == ["first"]
    assert [step.error["name"] for step in run.steps.values() if step.error] == ["MadeToFail"]
    inngest_server.advance(hours=2)
    assert (paid, run.status) == (["first", "first", "second"], RunStatus.COMPLETED)


def test_until_says_where_every_run_stands_when_time_is_up(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI
) -> None:
    with pytest.raises(AssertionError, match="No run was started"):
        inngest_server.until(lambda: False, timeout=0.01)
    inngest_app(counting)
    (run,) = inngest_server.runs_of(inngest_server.send("count"))
    with pytest.raises(AssertionError, match=r"(?s)still False.*counting-twice: Running\n.*first: COMPL.*pause: WAIT"):
        inngest_server.until(lambda: run.status.ended, timeout=0.05)
    with pytest.raises(AssertionError, match="the question itself was not answered in time"):
        inngest_server.until(lambda: asyncio.sleep(60), timeout=0.05)


def test_an_app_is_served_with_its_lifespan() -> None:
    said: list[str] = []

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        said.append("started")
        yield
        said.append("stopped")

    async def serve() -> None:
        async with served(fastapi.FastAPI(lifespan=lifespan), lifespan=AsyncServer.lifespan):
            assert said == ["started"]

    asyncio.run(serve())
    assert said == ["started", "stopped"]


@pytest.mark.crash_at_every_step
def test_wherever_the_process_dies_the_run_ends(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    (run,) = inngest_server.runs_of(inngest_server.send("count"))
    inngest_server.advance(hours=2)
    assert inngest_server.until(lambda: run.output) == "done"
    assert sorted(set(paid)) == ["first", "second"]
    assert len(paid) <= 3


async def test_a_coroutine_has_the_same_calls_in_its_own_loop(
    async_inngest_server: AsyncServer, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    server = async_inngest_server
    await server.serve(counting)
    server.fail_next(step="first")
    event = await server.send("count")
    (run,) = await server.runs_of(event)
    await server.advance(minutes=2)
    assert paid == ["first", "first"]
    await server.cancel(run)
    assert (await server.until(lambda: run.status, "Cancelled"), await server.runs("twice")) == ("Cancelled", [run])


@pytest.mark.crash_at_every_step
async def test_wherever_the_process_dies_a_coroutine_sees_the_run_end(
    async_inngest_server: AsyncServer, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    await async_inngest_server.serve(counting)
    run = await async_inngest_server.invoke("twice")
    await async_inngest_server.settle()
    await async_inngest_server.clock.advance(hours=1)
    await async_inngest_server.until(lambda: run.output, "done")
    assert sorted(set(paid)) == ["first", "second"]
    assert len(paid) <= 3


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, inngest_loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """A server that runs already, on which nothing is possible but what the official one can do."""
    stand_in = DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, poll=False)
    asyncio.run_coroutine_threadsafe(stand_in.start(), inngest_loop).result()
    monkeypatch.setenv("INNGEST_TEST_SERVER", stand_in.origin)
    monkeypatch.setattr("offline.official.SETTLE_SECONDS", 0.1)
    yield stand_in.origin
    asyncio.run_coroutine_threadsafe(stand_in.stop(), inngest_loop).result()


def test_the_same_calls_work_on_the_official_server(
    official: str, inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    event = inngest_server.send("count", {"n": 1}, id="mine")
    assert inngest_server.url == official
    (run,) = inngest_server.runs_of(event)
    assert (event.id, run.event.data, run.function.local_id, run.status) == ("mine", {"n": 1}, "twice", "Running")
    by_hand = inngest_server.invoke("twice")
    inngest_server.until(lambda: paid, ["first", "first"])
    inngest_server.cancel(run)
    inngest_server.until(lambda: run.status, "Cancelled")
    assert [each.status for each in inngest_server.runs()] == ["Cancelled", "Running"]
    for impossible in (
        lambda: inngest_server.advance(hours=1),
        lambda: inngest_server.fail_next(step="first"),
        lambda: by_hand.steps,
        lambda: inngest_server.dev_server,
    ):
        with pytest.raises(pytest.skip.Exception, match="official server"):
            impossible()


@pytest.fixture
def inngest_starts_at(request: pytest.FixtureRequest) -> datetime | None:
    return getattr(request, "param", None)


@pytest.mark.parametrize("inngest_starts_at", [datetime(2040, 2, 29, 9, tzinfo=UTC)], indirect=True)
def test_the_clock_starts_when_a_fixture_says(inngest_server: Server, inngest_starts_at: datetime) -> None:
    assert inngest_server.now() - inngest_starts_at < timedelta(minutes=1)


def test_a_question_may_ask_the_server_and_the_message_names_what_was_expected(inngest_server: Server) -> None:
    inngest_server.until(lambda: inngest_server.runs_of("count"), [])
    with pytest.raises(AssertionError, match=r"still 1, and not 2\.\nNo run was started"):
        inngest_server.until(lambda: 1, 2, timeout=0.01)


def test_a_mark_without_an_app_and_a_test_that_a_crash_breaks_are_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plugin of the inner pytest chooses an address of its own.
    monkeypatch.setenv("INNGEST_DEV", os.environ["INNGEST_DEV"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import pytest, fastapi, inngest, inngest.fast_api

        @pytest.mark.crash_at_every_step
        def test_without_an_app():
            pass

        @pytest.mark.crash_at_every_step
        def test_that_counts(inngest_server, inngest_app):
            done = []
            client = inngest.Inngest(app_id="app")
            @client.create_function(fn_id="once", trigger=inngest.TriggerEvent(event="go"))
            async def once(ctx):
                async def pay():
                    done.append("paid")
                await ctx.step.run("pay", pay)
            app = fastapi.FastAPI()
            inngest.fast_api.serve(app, client, [once])
            inngest_app(app)
            inngest_server.runs_of(inngest_server.send("go"))
            assert done == ["paid"]
        """
    )
    # In this process, because another one would import everything anew.
    result = pytester.runpytest_inprocess("-p", "offline.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*the test has to serve its app with inngest_app*"])
    result.stdout.fnmatch_lines(["*The process was killed after call 1 of the engine (pay).*"])
