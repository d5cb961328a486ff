"""What an engine does, in cases that need neither a moved clock nor a look inside: they run on both servers.

On the stand-in a case takes milliseconds. On the server that INNGEST_TEST_SERVER names it takes a few seconds.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest

from offline.testing import AsyncServer
from tests.durable.driver import OFFICIAL
from tests.durable.engine.world import note

Handler = Callable[[inngest.Context], Awaitable[Any]]
LATE_SECONDS = 2.5
"""How much later than planned the official server may do something."""

case = pytest.mark.conformance


class Both:
    """An app of its own for each test, beside either server."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self.http = httpx.AsyncClient(base_url=server.url, timeout=30)
        self.client = inngest.Inngest(app_id=f"both-{uuid4()}", is_production=False)
        self.functions: list[inngest.Function[Any]] = []
        self.log: list[Any] = []
        """Whatever the functions under test note down, in order."""

    def on(self, event: str, **settings: Any) -> Callable[[Handler], inngest.Function[Any]]:
        """Make a function that an event, or an event of the server's own, starts."""
        settings = {"trigger": inngest.TriggerEvent(event=self.name(event))} | settings

        def decorate(handler: Handler) -> inngest.Function[Any]:
            function = self.client.create_function(fn_id=handler.__name__, **settings)(handler)
            self.functions.append(function)
            return function

        return decorate

    def name(self, event: str) -> str:
        """The event's name, with the app's id in it: on a server with many apps it wakes no other."""
        return event if event.startswith("inngest/") else f"{self.client.app_id}/{event}"

    async def start(self) -> None:
        """Serve the functions and register them."""
        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, self.client, self.functions)
        await self._server.serve(app)

    async def send(self, event: str, **fields: Any) -> None:
        """Send an event and let happen what needs no time. `fields` are `data`, `id` and `ts`."""
        await self.client.send(inngest.Event(name=self.name(event), **fields))
        await self.past(0)

    async def past(self, seconds: float) -> None:
        """Let time pass."""
        if self._server.is_official:
            await asyncio.sleep(seconds + 1)
        else:
            await self._server.advance(seconds=seconds)

    async def heard(self, *expected: Any) -> None:
        """Wait until the functions have noted this, in any order, and let more come if there is more."""
        wanted = sorted(map(str, expected))
        await self._server.until(lambda: sorted(map(str, self.log)), wanted)
        await self.past(0)
        assert sorted(map(str, self.log)) == wanted

    async def run(self, run_id: str, status: str) -> dict[str, Any]:
        """Wait until a run has a status; the run as the REST API tells it."""

        async def told() -> dict[str, Any]:
            return dict((await self.http.get(f"/v1/runs/{run_id}")).json()["data"])

        async def is_there() -> bool:
            return bool((await told())["status"] == status)

        await self._server.until(is_there)
        return await told()

    def now_ms(self) -> int:
        """The server's time in milliseconds."""
        return int(self._server.now().timestamp() * 1000)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with AsyncServer(seed=1) as server:
        both = Both(server)
        async with both.http:
            yield both


def failing(log: list[Any], times: int, error: Exception) -> Callable[[], Awaitable[str]]:
    """A step that raises so many times before it succeeds."""

    async def body() -> str:
        log.append("try")
        if log.count("try") <= times:
            raise error
        return "ok"

    return body


SOON = inngest.RetryAfterError("busy", timedelta(seconds=2))


@case("Waiting", "A sleep ends when its time has come, and not before.")
async def test_a_sleep_takes_its_time(both: Both) -> None:
    @both.on("go")
    async def sleeper(ctx: inngest.Context) -> None:
        await ctx.step.run("before", note(both.log, "before"))
        await ctx.step.sleep("nap", timedelta(seconds=6))
        await ctx.step.run("after", note(both.log, "after"))

    await both.start()
    await both.send("go")
    await both.past(2)
    assert both.log == ["before"]
    await both.past(4 + LATE_SECONDS)
    await both.heard("before", "after")


def waiter(both: Both) -> None:
    @both.on("go")
    async def waiting(ctx: inngest.Context) -> None:
        answer = await ctx.step.wait_for_event(
            "wait", event=both.name("answer"), if_exp="async.data.k == event.data.k", timeout=timedelta(seconds=5)
        )
        both.log.append(answer.data["k"] if answer else None)


@case("Waiting", "A wait that nobody answers returns None when its time is up.")
async def test_silence_is_none(both: Both) -> None:
    waiter(both)
    await both.start()
    await both.send("go", data={"k": 1})
    await both.send("answer", data={"k": 2})
    assert both.log == []
    await both.past(5 + LATE_SECONDS)
    await both.heard(None)


@case("Waiting", "An event wakes the waits whose expression it fulfils, even when its id has been seen before.")
async def test_a_repeated_event_wakes_a_waiter(both: Both) -> None:
    waiter(both)
    await both.start()
    same = str(uuid4())
    await both.send("answer", id=same, data={"k": 1})
    await both.send("go", data={"k": 1})
    await both.send("go", data={"k": 2})
    assert both.log == [], "an event that came before the wait is lost"
    await both.send("answer", id=same, data={"k": 1})
    await both.heard(1)


@case("Failures", "RetryAfterError says when a step is tried again, and the steps before it are not.")
async def test_a_retry_comes_when_the_step_says(both: Both) -> None:
    @both.on("go", retries=1)
    async def limited(ctx: inngest.Context) -> None:
        await ctx.step.run("first", note(both.log, "first"))
        both.log.append(await ctx.step.run("busy", failing(both.log, 1, SOON)))

    await both.start()
    await both.send("go")
    await both.past(2 + LATE_SECONDS)
    await both.heard("first", "try", "try", "ok")


@case("Failures", "A step has one attempt more than its retries. Then its run fails, and function.failed tells.")
async def test_a_step_that_keeps_failing_fails_its_run(both: Both) -> None:
    @both.on("go", retries=1)
    async def hopeless(ctx: inngest.Context) -> None:
        await ctx.step.run("busy", failing(both.log, 9, SOON))

    slug = f"{both.client.app_id}-hopeless"
    failed = inngest.TriggerEvent(event="inngest/function.failed", expression=f"event.data.function_id == '{slug}'")

    @both.on("inngest/function.failed", trigger=failed)
    async def told(ctx: inngest.Context) -> None:
        data: Any = ctx.event.data
        both.log.append((data["event"]["data"]["k"], data["error"]["message"]))

    await both.start()
    await both.send("go", data={"k": 7})
    await both.past(2 + LATE_SECONDS)
    await both.heard("try", "try", (7, "busy"))


@case("Failures", "A function may catch the error of a step that has used up its attempts, and go on.")
async def test_a_failed_step_can_be_caught(both: Both) -> None:
    @both.on("go", retries=0)
    async def catching(ctx: inngest.Context) -> None:
        try:
            await ctx.step.run("bad", failing(both.log, 9, ValueError("boom")))
        except inngest.StepError as error:
            await ctx.step.run("after", note(both.log, error.message))

    await both.start()
    await both.send("go")
    await both.heard("try", "boom")


@case("Failures", "A parallel step that fails is tried again alone.")
async def test_a_parallel_step_is_retried_alone(both: Both) -> None:
    @both.on("go", retries=1)
    async def forked(ctx: inngest.Context) -> None:
        both.log.append(
            await ctx.group.parallel(
                (
                    lambda: ctx.step.run("good", note(both.log, "good", "fine")),
                    lambda: ctx.step.run("bad", failing(both.log, 1, SOON)),
                )
            )
        )

    await both.start()
    await both.send("go")
    await both.past(2 + LATE_SECONDS)
    await both.heard("good", "try", "try", ("fine", "ok"))


@case("Steps", "Whoever invokes a function that fails gets its error.")
async def test_an_invoked_failure_is_raised(both: Both) -> None:
    @both.on("never", retries=0)
    async def child(ctx: inngest.Context) -> None:
        raise ValueError("no such order")

    @both.on("go", retries=0)
    async def parent(ctx: inngest.Context) -> None:
        try:
            await ctx.step.invoke("ask", function=child)
        except inngest.StepError as error:
            await ctx.step.run("after", note(both.log, error.message))

    await both.start()
    await both.send("go")
    await both.heard("no such order")


@case("Steps", "Results too large for one request are fetched by the app.")
async def test_a_large_state_is_fetched(both: Both) -> None:
    @both.on("go", retries=0)
    async def large(ctx: inngest.Context) -> None:
        parts = [await ctx.step.run("part", note([], "", "x" * 2_000_000)) for _ in range(3)]
        both.log.append(sum(map(len, parts)))

    await both.start()
    await both.send("go")
    await both.heard(6_000_000)


@case("Steps", "A step that returns more than 4 MB fails its run.")
async def test_a_step_may_not_return_too_much(both: Both) -> None:
    @both.on("go", retries=0)
    async def greedy(ctx: inngest.Context) -> None:
        both.log.append(ctx.run_id)
        await ctx.step.run("much", note([], "", "x" * (4 * 1024 * 1024)))

    await both.start()
    await both.send("go")
    await both.heard(*both.log)
    failed = await both.run(both.log[0], "Failed")
    assert "step output size is greater than the limit" in json.dumps(failed["output"])


@case("Failures", "Each step has attempts of its own.")
async def test_attempts_are_counted_anew(both: Both) -> None:
    @both.on("go", retries=1)
    async def counting(ctx: inngest.Context) -> None:
        await ctx.step.run("busy", failing(both.log, 1, SOON))
        both.log.append(ctx.attempt)
        if ctx.attempt == 0:
            raise SOON

    await both.start()
    await both.send("go")
    for _ in range(2):
        await both.past(2 + LATE_SECONDS)
    await both.heard("try", "try", 0, 1)


@case("Events", "An event from the future starts its run then.")
async def test_an_event_from_the_future_waits(both: Both) -> None:
    @both.on("go")
    async def later(ctx: inngest.Context) -> None:
        both.log.append(ctx.event.data["k"])

    await both.start()
    await both.send("go", ts=both.now_ms() + 8_000, data={"k": 1})
    await both.past(2)
    assert both.log == []
    await both.past(6 + LATE_SECONDS)
    await both.heard(1)


@case("Events", "A trigger may end with a wildcard.")
async def test_a_wildcard_takes_every_name_that_begins_so(both: Both) -> None:
    @both.on("order.*")
    async def orders(ctx: inngest.Context) -> None:
        both.log.append(ctx.event.data["k"])

    await both.start()
    for number, event in enumerate(["order.paid", "order.sent", "other"]):
        await both.send(event, data={"k": number})
    await both.heard(0, 1)


@case("Events", "A cron runs at its tick, and its event's id is the tick.")
async def test_a_cron_ticks(both: Both) -> None:
    @both.on("tick", trigger=inngest.TriggerCron(cron="* * * * *"))
    async def every_minute(ctx: inngest.Context) -> None:
        both.log.append(ctx.event.id)

    await both.start()
    while not both.log:
        await both.past(20)
    tick = datetime.fromisoformat(both.log[0])
    assert (tick.second, tick.microsecond, both.log[0][-1]) == (0, 0, "Z")


@case("Flow control", "A throttle lets its limit and burst start at once, and the others one after the other.")
async def test_a_throttle_spaces(both: Both) -> None:
    @both.on("go", throttle=inngest.Throttle(limit=1, period=timedelta(seconds=8)))
    async def throttled(ctx: inngest.Context) -> None:
        both.log.append(ctx.event.data["k"])

    await both.start()
    for number in range(4):
        await both.send("go", data={"k": number})
    assert len(both.log) == 2
    await both.past(8)
    assert len(both.log) == 3
    await both.past(8)
    await both.heard(0, 1, 2, 3)


@case("Flow control", "No more steps run at once than the concurrency limit allows, and none is dropped.")
async def test_concurrency_is_bounded(both: Both) -> None:
    go_on = asyncio.Event()

    async def work() -> None:
        both.log.append("begun")
        await go_on.wait()

    @both.on("go", concurrency=[inngest.Concurrency(limit=2)])
    async def bounded(ctx: inngest.Context) -> None:
        await ctx.step.run("work", work)

    await both.start()
    for _ in range(5):
        await both.client.send(inngest.Event(name=both.name("go")))
    # A step that is held keeps the clock of the stand-in from settling.
    await asyncio.sleep(5 if OFFICIAL else 0.1)
    assert both.log == ["begun"] * 2
    go_on.set()
    await both.heard(*["begun"] * 5)


def napper(both: Both, **settings: Any) -> None:
    @both.on("go", **settings)
    async def napping(ctx: inngest.Context) -> None:
        await ctx.step.run("before", note(both.log, ctx.event.data["k"]))
        both.log.append(ctx.run_id)
        await ctx.step.sleep("nap", timedelta(seconds=8))
        await ctx.step.run("after", note(both.log, "after"))


@case("Cancelling and rerunning", "A matching event cancels a run. No step follows, and function.cancelled tells.")
async def test_an_event_cancels(both: Both) -> None:
    napper(both, cancel=[inngest.Cancel(event=both.name("stop"), if_exp="event.data.k == async.data.k")])
    slug = f"{both.client.app_id}-napping"
    trigger = inngest.TriggerEvent(event="inngest/function.cancelled", expression=f"event.data.function_id == '{slug}'")

    @both.on("inngest/function.cancelled", trigger=trigger)
    async def told(ctx: inngest.Context) -> None:
        both.log.append(f"cancelled {ctx.event.data['run_id']}")

    await both.start()
    await both.send("go", data={"k": 1})
    run_id = next(entry for entry in both.log if entry != 1)
    await both.send("stop", data={"k": 2})
    await both.send("stop", data={"k": 1})
    await both.past(8 + LATE_SECONDS)
    assert "after" not in both.log
    assert f"cancelled {run_id}" in both.log


@case("Cancelling and rerunning", "A run is cancelled over the REST API.")
async def test_a_run_is_cancelled_over_http(both: Both) -> None:
    napper(both)
    await both.start()
    await both.send("go", data={"k": 1})
    run_id = next(entry for entry in both.log if entry != 1)
    await both.http.delete(f"/v1/runs/{run_id}")
    await both.run(run_id, "Cancelled")
    await both.past(8 + LATE_SECONDS)
    assert "after" not in both.log


@case("Cancelling and rerunning", "A run that does not begin in its time is cancelled.")
async def test_a_run_that_begins_too_late_is_cancelled(both: Both) -> None:
    @both.on(
        "go",
        throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), burst=0),
        timeouts=inngest.Timeouts(start=timedelta(seconds=4)),
    )
    async def late(ctx: inngest.Context) -> None:
        both.log.append("begun")

    slug = f"{both.client.app_id}-late"
    trigger = inngest.TriggerEvent(event="inngest/function.cancelled", expression=f"event.data.function_id == '{slug}'")

    @both.on("inngest/function.cancelled", trigger=trigger)
    async def told(ctx: inngest.Context) -> None:
        both.log.append("cancelled")

    await both.start()
    await both.send("go")
    await both.send("go")
    assert both.log == ["begun"]
    await both.past(4 + LATE_SECONDS)
    await both.heard("begun", "cancelled")


@case("Cancelling and rerunning", "A run that does not finish in its time is cancelled.")
async def test_a_run_that_takes_too_long_is_cancelled(both: Both) -> None:
    napper(both, timeouts=inngest.Timeouts(finish=timedelta(seconds=4)))
    await both.start()
    await both.send("go", data={"k": 1})
    run_id = next(entry for entry in both.log if entry != 1)
    await both.past(8 + LATE_SECONDS)
    await both.run(run_id, "Cancelled")
    assert "after" not in both.log


# The last ones, because the official server works on 5,000 events for a while.


@case("Events", "More than 5,000 events in one request are an error, although the first ones are taken.")
async def test_5001_events_are_too_many(both: Both) -> None:
    events = [{"name": both.name("nobody")}] * 5001
    answer = (await both.http.post("/e/test", json=events)).json()
    # The official server names the last of those that it took, or not.
    assert (answer["status"], len(answer["ids"]) in (4999, 5000)) == (400, True)
    assert answer["error"] == "Cannot have more than 5000 events in a batch"


@case("Events", "An event of more than 3 MB is refused.")
async def test_an_event_may_not_be_too_large(both: Both) -> None:
    large = {"name": both.name("nobody"), "data": {"x": "x" * (3 * 1024 * 1024)}}
    answer = await both.http.post("/e/test", json=large)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Event is over the max size")
