"""Concept 1 proven by who was called. Runs without a database, a model or a network."""

import asyncio
from uuid import uuid4

import pytest

from concepts import events, outside
from tests.concepts.programs import apart, serving
from tests.concepts.shelf import Shelf


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
        await events.take_message(str(uuid4()), "cust_002", "Where is my order?")
    await shelf.until(asked.is_set, "the first consumer")
    assert outside.asked("send_mail") == []
    may_answer.set()
    assert await shelf.asked("send_mail", 1) == [("cust_002", "answer to: Where is my order?")]


async def test_a_message_survives_a_model_that_is_down_where_a_request_loses_it(shelf: Shelf) -> None:
    outside.fail("ask_model", *[ConnectionError("the model is down")] * 2)
    with pytest.raises(ConnectionError):
        await events.take_message_wrong("cust_001", "Anybody there?")
    await events.take_message(str(uuid4()), "cust_002", "Where is my order?")
    await shelf.past_retries()
    assert [to for to, _ in await shelf.asked("send_mail", 1)] == ["cust_002"]


async def test_the_event_waits_for_a_dead_consumer(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start()
        program.kill()
        await events.take_message(str(uuid4()), "cust_002", "Where is my order?")
        await shelf.settle()
        assert outside.calls == []
        await program.start()
        await shelf.past_retries()
        assert [to for to, _ in await shelf.asked("send_mail", 1)] == ["cust_002"]


async def test_the_event_still_waits_when_the_consumer_was_dead_for_half_a_day(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start()
        program.kill()
        await events.take_message(str(uuid4()), "cust_002", "Where is my order?")
        await shelf.advance(hours=12)
        await program.start()
        await shelf.advance(hours=3)
        assert [to for to, _ in await shelf.asked("send_mail", 1)] == ["cust_002"]


async def test_a_second_consumer_is_added_without_touching_the_producer(shelf: Shelf) -> None:
    async with serving([events.answer_message]):
        await events.take_message(str(uuid4()), "cust_002", "Where is my order?")
        await shelf.asked("send_mail", 1)
    async with serving([events.answer_message, events.announce_message]):
        await events.take_message(str(uuid4()), "cust_003", "And where is mine?")
        await shelf.asked("send_mail", 2)
        assert await shelf.asked("tell_team", 1) == ["cust_003 has written"]
