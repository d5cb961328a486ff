"""Concept 13 proven by the calls to the database. Runs without a database, a model or a network."""

from typing import Any
from uuid import uuid4

import inngest
import pytest

from concepts import outside
from concepts.shelf import client
from tests.concepts.shelf import Shelf


async def resolved(count: int, account_id: str | None = None) -> list[str]:
    """So many tickets, of an account of this call's own unless one is named; their ids."""
    # On the official server events of an earlier test may still wait for theirs.
    name, account_id = "ticket/resolved", account_id or f"account-{uuid4()}"
    ids = [str(uuid4()) for _ in range(count)]
    await client.send(
        [inngest.Event(name=name, data={"ticket_id": ticket_id, "account_id": account_id}) for ticket_id in ids]
    )
    return ids


def bulk() -> list[dict[str, Any]]:
    return [rows for rows in outside.asked("store") if not any(key.startswith("single-") for key in rows)]


def single() -> list[dict[str, Any]]:
    return [rows for rows in outside.asked("store") if any(key.startswith("single-") for key in rows)]


async def test_fifty_events_are_one_bulk_call_instead_of_fifty(shelf: Shelf) -> None:
    ids = await resolved(50)
    await shelf.until(lambda: len(bulk()) == 1 and len(single()) == 50)
    assert sorted(bulk()[0]) == sorted(ids)
    assert sorted(len(texts) for texts in outside.asked("embed")) == [1] * 50 + [50]
    assert await shelf.outputs("batch-embed-tickets") == [{"batched": 50}]


async def test_every_ticket_of_a_batch_is_announced_as_embedded(shelf: Shelf) -> None:
    ids = await resolved(50)
    await shelf.ended("batch-embed-tickets")
    if shelf.stand_in is not None:
        events = shelf.stand_in.state.events.values()
        assert sorted(e.data["ticket_id"] for e in events if e.name == "ticket/embedded") == sorted(ids)


@pytest.mark.conformance("Flow control", "A batch starts when its time is up.")
async def test_a_batch_starts_with_what_there_is_after_30_seconds(shelf: Shelf) -> None:
    await resolved(49)
    await shelf.past(seconds=20)
    assert bulk() == []
    await shelf.past(seconds=11)
    await shelf.until(lambda: len(bulk()) == 1)
    assert len(bulk()[0]) == 49


@pytest.mark.conformance("Flow control", "A batch starts when it is full.")
async def test_the_51st_event_begins_the_next_batch(shelf: Shelf) -> None:
    await resolved(51)
    await shelf.past(seconds=31)
    await shelf.until(lambda: len(bulk()) == 2)
    assert [len(rows) for rows in bulk()] == [50, 1]


@pytest.mark.conformance("Flow control", "Each key has a batch of its own.")
async def test_the_key_keeps_accounts_apart(shelf: Shelf) -> None:
    accounts = [await resolved(30), await resolved(30)]
    await shelf.past(seconds=31)
    await shelf.until(lambda: len(bulk()) == 2)
    assert sorted(sorted(rows) for rows in bulk()) == sorted(sorted(ids) for ids in accounts)


@pytest.mark.conformance("Flow control", "An event that does not fulfil a batch's condition waits for no others.")
async def test_what_does_not_meet_the_condition_does_not_wait_for_others(shelf: Shelf) -> None:
    live = await resolved(3, "live-demo")
    await resolved(3)
    await shelf.until(lambda: len(bulk()) >= 3)
    await shelf.settle()
    assert sorted(key for rows in bulk() for key in rows) == sorted(live)
    assert [len(rows) for rows in bulk()] == [1, 1, 1]


async def test_a_batch_is_retried_whole_and_stores_nothing_twice(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    store = outside.store

    async def stores_and_dies(rows: dict[str, Any]) -> int:
        new = await store(rows)
        if len(rows) == 50 and len(bulk()) == 1:
            raise ConnectionError("the process dies after the write")
        return new

    monkeypatch.setattr(outside, "store", stores_and_dies)
    ids = await resolved(50)
    await shelf.past_retries()
    await shelf.until(lambda: len(bulk()) == 2)
    first, second = bulk()
    assert sorted(first) == sorted(second) == sorted(ids)
    assert sorted(key for key in outside.stored if not key.startswith("single-")) == sorted(ids)
