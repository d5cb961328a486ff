"""Concept 1 proven by who was called. Runs without a database, a model or a network."""

import asyncio
from uuid import uuid4

import pytest

from concepts import events, outside, steps
from tests.concepts.killable_shelf import apart, serving
from tests.concepts.shelf import Shelf


async def receive(customer_id: str = "cust_002") -> None:
    await events.receive_email(str(uuid4()), customer_id, "Order", "Where is my order?")


def drafts() -> list[str]:
    """The customers for whom a reply was drafted."""
    return [row["customer_id"] for rows in outside.asked("store") for row in rows.values()]


async def drafted(shelf: Shelf, *customers: str) -> None:
    await shelf.asked("store", len(customers))
    assert drafts() == list(customers)


async def test_the_producer_returns_at_once_however_long_the_answer_takes(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow_model(prompt: str) -> str:
        asked.set()
        await may_answer.wait()
        return f"answer to: {prompt}"

    monkeypatch.setattr(outside, "ask_model", slow_model)
    async with asyncio.timeout(10):
        await receive()
    await shelf.until(asked.is_set)
    assert drafts() == []
    may_answer.set()
    await shelf.until(lambda: len(drafts()) == 1)


async def test_a_message_survives_a_model_that_is_down_where_a_request_loses_it(shelf: Shelf) -> None:
    outside.fail("ask_model", *[ConnectionError("the model is down")] * 2)
    with pytest.raises(ConnectionError):
        await events.receive_email_wrong("cust_001", "Anybody there?")
    await receive()
    await shelf.past_retries()
    await drafted(shelf, "cust_002")


@pytest.mark.conformance("Events", "An event waits until the app is back.")
async def test_the_event_waits_for_a_dead_consumer(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start()
        program.kill()
        await receive()
        await shelf.settle()
        assert outside.calls == []
        await program.start()
        await shelf.past_retries()
        assert await shelf.asked("count", 1) == ["cust_002"]


async def test_the_event_still_waits_when_the_consumer_was_dead_for_half_a_day(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start()
        program.kill()
        await receive()
        await shelf.advance(hours=12)
        await program.start()
        await shelf.advance(hours=3)
        assert await shelf.asked("count", 1) == ["cust_002"]


async def test_a_second_consumer_is_added_without_touching_the_producer(shelf: Shelf) -> None:
    async with serving([steps.handle_email]):
        await receive()
        await drafted(shelf, "cust_002")
    async with serving([steps.handle_email, events.email_analytics]):
        await receive("cust_003")
        await drafted(shelf, "cust_002", "cust_003")
        assert await shelf.asked("count", 1) == ["cust_003"]
