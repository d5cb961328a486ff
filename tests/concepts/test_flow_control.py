"""Concept 11 proven by what was executed, and when. Runs without a database, a model or a network."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client
from tests.concepts.shelf import Shelf

BURST = 1_000
CUSTOMERS = 40


def answered() -> list[int]:
    return [number for _, number in outside.asked("write_answer")]


def now(shelf: Shelf) -> datetime:
    """The engine's clock; the official server's test ends before it is read again."""
    return shelf.stand_in.now() if shelf.stand_in else datetime.now(UTC)


async def burst(name: str, count: int = BURST) -> None:
    """One customer writes every other email."""
    customers = ["loud" if number % 2 else f"customer-{number % CUSTOMERS}" for number in range(count)]
    await client.send(
        [
            inngest.Event(name=name, data={"customer_id": customer, "number": number})
            for number, customer in enumerate(customers)
        ]
    )


async def save(shelf: Shelf, document_id: str, versions: int = 5) -> None:
    for version in range(1, versions + 1):
        data = {"document_id": document_id, "version": version}
        await shelf.send("concepts/flow_control.document-saved", data)
        await asyncio.sleep(0)


def outputs(runs: list[dict[str, Any]]) -> list[Any]:
    return [json.loads(run["output"]) for run in runs]


async def test_of_a_burst_of_1000_ten_run_at_once_two_per_customer_and_none_is_dropped(shelf: Shelf) -> None:
    await burst("concepts/flow_control.email")
    await shelf.asked("write_answer", BURST)
    assert sorted(answered()) == list(range(BURST))
    assert outside.peak.pop("all") == 10
    assert max(outside.peak.values()) == 2
    last_of_the_others = max(at for at, number in enumerate(answered()) if number % 2 == 0)
    assert last_of_the_others < 800, "the loud customer's backlog holds nobody up"


async def test_a_throttled_burst_of_1000_starts_31_at_once_then_30_a_minute_and_none_is_dropped(shelf: Shelf) -> None:
    began = time.monotonic()
    await burst("concepts/flow_control.bulk-email")
    await shelf.until(lambda: len(answered()) >= 31, "limit and burst")
    await shelf.settle()
    assert len(answered()) <= 31 + (time.monotonic() - began) / 2
    per_minute = []
    while True:
        before, since = len(answered()), now(shelf)
        await shelf.advance(minutes=1)
        if len(answered()) == BURST:
            break
        per_minute.append((len(answered()) - before) / ((now(shelf) - since) / timedelta(minutes=1)))
    assert 29 <= min(per_minute) <= max(per_minute) <= 31
    assert 30 <= len(per_minute) <= 33
    assert sorted(answered()) == list(range(BURST))


async def test_a_rate_limit_takes_the_first_and_drops_the_others_without_a_run(shelf: Shelf) -> None:
    await save(shelf, "plan")
    assert outputs(await shelf.ended("announce-once-a-minute")) == [1]
    await shelf.advance(seconds=61)
    assert len(await shelf.runs("announce-once-a-minute")) == 1
    await save(shelf, "plan")
    assert len(await shelf.ended("announce-once-a-minute", count=2)) == 2


async def test_a_debounce_merges_a_burst_into_one_run_with_the_last_event(shelf: Shelf) -> None:
    await save(shelf, "plan")
    await shelf.advance(seconds=9)
    assert await shelf.runs("index-after-quiet") == []
    await save(shelf, "plan")
    await shelf.advance(seconds=9)
    assert await shelf.runs("index-after-quiet") == []
    await shelf.advance(seconds=2)
    assert outputs(await shelf.ended("index-after-quiet")) == [5]


async def test_a_singleton_skips_what_comes_while_it_runs(shelf: Shelf) -> None:
    await save(shelf, "plan")
    await shelf.advance(seconds=6)
    assert outputs(await shelf.ended("import-unless-running")) == [1]


async def test_a_singleton_in_cancel_mode_lets_only_the_newest_finish(shelf: Shelf) -> None:
    await save(shelf, "plan")
    await shelf.advance(seconds=6)
    assert outputs(await shelf.ended("export-the-newest")) == [5]
    assert len(await shelf.runs("export-the-newest", "CANCELLED")) == 4


async def test_each_document_is_limited_merged_and_replaced_by_itself(shelf: Shelf) -> None:
    for document_id in ("plan", "report"):
        await save(shelf, document_id)
    await shelf.advance(seconds=11)
    for function_id in ("announce-once-a-minute", "index-after-quiet", "import-unless-running", "export-the-newest"):
        assert len(await shelf.ended(function_id, count=2)) == 2
