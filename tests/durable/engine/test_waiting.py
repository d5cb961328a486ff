"""Waiting for an event: what wakes a run, what does not, and when it gives up. Runs without database and model."""

import asyncio
from datetime import timedelta
from typing import Any

import inngest
import pytest

from offline.inngest_server.core.state import RunStatus, StepStatus
from tests.durable.engine.world import World

FOUR_HOURS = timedelta(hours=4)


def waiter(world: World, expression: str | None, **settings: Any) -> None:
    """A function that waits four hours for `decided` and returns that event's data, or None."""

    @world.on("ask", "waiter", **settings)
    async def handler(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event("decision", event="decided", if_exp=expression, timeout=FOUR_HOURS)
        return event and event.data


SAME = "event.data.k == async.data.k"
BY_REQUEST = "async.data.request_id == event.id"
BY_REQUEST_OR_CUSTOMER = (
    f"{BY_REQUEST} || (async.data.request_id == null && async.data.customer_id == event.data.customer_id)"
)


async def test_only_the_matching_event_wakes_the_run(world: World) -> None:
    waiter(world, SAME)
    await world.start()
    await world.sent("ask", k="a")
    await world.sent("decided", k="b")
    await world.sent("other", k="a")
    assert world.run("waiter").status is RunStatus.RUNNING
    await world.sent("decided", k="a", answer=1)
    assert world.run("waiter").output == {"k": "a", "answer": 1}


async def test_nobody_answers_for_four_hours(world: World) -> None:
    waiter(world, SAME)
    await world.start()
    await world.sent("ask", k="a")
    await world.advance(hours=3, minutes=59)
    assert world.run("waiter").status is RunStatus.RUNNING
    await world.advance(minutes=2)
    assert (world.run("waiter").status, world.run("waiter").output) == (RunStatus.COMPLETED, None)
    await world.sent("decided", k="a")
    assert len(world.server.runs()) == 1


async def test_an_answer_after_the_timeout_changes_nothing(world: World) -> None:
    @world.on("ask")
    async def goes_on(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event("decision", event="decided", timeout=FOUR_HOURS)
        await ctx.step.sleep("nap", FOUR_HOURS)
        return event

    await world.start()
    await world.sent("ask")
    await world.advance(hours=4)
    await world.sent("decided")
    step = next(iter(world.run("goes_on").steps.values()))
    assert (step.status, step.output) == (StepStatus.TIMED_OUT, None)
    await world.advance(hours=4)
    assert (world.run("goes_on").status, world.run("goes_on").output) == (RunStatus.COMPLETED, None)


async def test_a_run_cancelled_on_its_way_into_a_wait_does_not_wait(world: World) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @world.on("ask")
    async def slow(ctx: inngest.Context) -> None:
        started.set()
        await go_on.wait()
        await ctx.step.wait_for_event("decision", event="decided", timeout=FOUR_HOURS)

    await world.start()
    world.send("ask")
    await started.wait()
    world.server.cancel_run(world.run("slow").id)
    go_on.set()
    await world.server.settle()
    assert not world.server.engine.server_steps.waits
    assert await world.advance(hours=5) == 0


async def test_an_event_sent_before_the_wait_exists_is_lost(world: World) -> None:
    waiter(world, SAME)
    await world.start()
    await world.sent("decided", k="a")
    await world.sent("ask", k="a")
    assert world.run("waiter").status is RunStatus.RUNNING


async def test_a_deduplicated_event_still_wakes_a_waiter(world: World) -> None:
    waiter(world, SAME)
    await world.start()
    await world.sent("decided", event_id="same", k="a")
    await world.sent("ask", k="a")
    await world.sent("decided", event_id="same", k="a")
    assert world.run("waiter").status is RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("expression", "answer", "woken"),
    [
        (BY_REQUEST_OR_CUSTOMER, {"request_id": "r1"}, True),
        (BY_REQUEST_OR_CUSTOMER, {"customer_id": "c1"}, True),
        (BY_REQUEST_OR_CUSTOMER, {"request_id": "other", "customer_id": "c1"}, False),
        (BY_REQUEST_OR_CUSTOMER, {"customer_id": "c2"}, False),
        (BY_REQUEST_OR_CUSTOMER, {}, False),
        ("event.data.missing == async.data.missing", {}, True),
        ("event.data.missing == async.data.missing", {"missing": 1}, False),
        ("async.data.amount >= 4", {"amount": 4.5}, True),
        ("async.data.amount >= 4", {}, False),
        ("async.data.amount < 4", {}, True),
        ("async.data['customer_id'].startsWith('c')", {"customer_id": "c9"}, True),
        ("has(async.data.a)", {"a": None}, True),
        ("has(async.data.a)", {}, False),
        ("!has(async.data.a)", {}, False),
        ("async.data.text == '!has(x)'", {"text": "!has(x)"}, True),
        (None, {}, True),
    ],
)
async def test_a_missing_field_counts_as_null(
    world: World, expression: str | None, answer: dict[str, Any], woken: bool
) -> None:
    waiter(world, expression)
    await world.start()
    await world.sent("ask", event_id="r1", customer_id="c1")
    await world.sent("decided", **answer)
    assert (world.run("waiter").status is RunStatus.COMPLETED) is woken


async def test_an_expression_that_does_not_compile_fails_the_run_at_once(world: World) -> None:
    waiter(world, "async.data.name == 'O'Brien'", retries=3)
    await world.start()
    await world.sent("ask")
    assert world.run("waiter").status is RunStatus.FAILED
    assert world.run("waiter").output["name"] == "InvalidExpression"


async def test_one_event_wakes_all_that_wait_for_it_once_each(world: World) -> None:
    waiter(world, SAME)
    await world.start()
    for number in range(20):
        world.send("ask", k="a", number=number)
    await world.server.settle()
    await world.sent("decided", k="a")
    await world.sent("decided", k="a", late=True)
    assert [run.output for run in world.runs("waiter")] == [{"k": "a"}] * 20
