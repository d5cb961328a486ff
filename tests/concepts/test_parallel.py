"""Parallel steps proven by what was executed. Runs without a database, a model or a network."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from concepts import outside, parallel
from tests.concepts.shelf import Shelf

CUSTOMER = {"customer_id": "cust_002"}
PLACES = ["cust_002/orders", "cust_002/invoices", "cust_002/tickets"]
QUESTION = {"customer_id": "cust_002", "question": "Where is it?"}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, asyncio.Event]]:
    """Each model writes until its event is set, at the latest when the test is over."""
    events = {"careful": asyncio.Event(), "quick": asyncio.Event()}
    ask = parallel.ask

    async def slowly(model: str, question: str) -> str:
        await events[model].wait()
        return await ask(model, question)

    monkeypatch.setattr(parallel, "ask", slowly)
    yield events
    for event in events.values():
        event.set()


@pytest.mark.conformance("Steps", "The body of each parallel step runs once.")
async def test_each_parallel_step_is_executed_once(shelf: Shelf) -> None:
    await shelf.send("concepts/parallel.history", CUSTOMER)
    [found] = await shelf.outputs("parallel-history")
    assert [row["id"] for row in found] == PLACES
    assert Counter(outside.asked("look_up")) == Counter(PLACES)


@pytest.mark.conformance("Steps", "Parallel steps are under way at the same time.")
async def test_they_are_under_way_at_the_same_time(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    all_three = asyncio.Barrier(3)
    look_up = outside.look_up

    async def together(place: str) -> Any:
        await all_three.wait()
        return await look_up(place)

    monkeypatch.setattr(outside, "look_up", together)
    await shelf.send("concepts/parallel.history", CUSTOMER)
    try:
        await shelf.ended("parallel-history")
    finally:
        await all_three.abort()


async def test_one_that_fails_is_tried_again_alone(shelf: Shelf) -> None:
    outside.fail("look_up", ConnectionError("the database restarts"))
    await shelf.send("concepts/parallel.history", CUSTOMER)
    await shelf.asked("look_up", 3)
    await shelf.advance(minutes=1)
    await shelf.ended("parallel-history")
    assert sorted(Counter(outside.asked("look_up")).values()) == [1, 1, 2]


async def test_with_gather_three_bodies_run_six_times(shelf: Shelf) -> None:
    await shelf.send("concepts/parallel.gathered", CUSTOMER)
    await shelf.ended("parallel-wrong")
    assert sorted(Counter(outside.asked("look_up")).values()) == [1, 2, 3]


@pytest.mark.parametrize("first", ["careful", "quick"])
@pytest.mark.conformance("Steps", "In race mode a branch goes on while another one is still at work.")
async def test_the_first_reply_is_sent_while_the_other_model_still_writes(
    shelf: Shelf, held: dict[str, asyncio.Event], first: str
) -> None:
    await shelf.send("concepts/parallel.question", QUESTION)
    held[first].set()
    await shelf.until(lambda: bool(outside.asked("send_mail")))
    [(_, reply)] = outside.asked("send_mail")
    assert reply.endswith(f"{first}: Where is it?")
    for event in held.values():
        event.set()
    assert await shelf.outputs("parallel-race") == [reply]
    await shelf.settle()
    assert len(outside.asked("send_mail")) == 1


async def test_when_both_reply_at_once_the_customer_hears_one_of_them(shelf: Shelf) -> None:
    await shelf.send("concepts/parallel.question", QUESTION)
    [returned] = await shelf.outputs("parallel-race")
    assert await shelf.asked("send_mail", 1) == [("cust_002", returned)]
