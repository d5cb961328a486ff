"""Concept 11 proven by what was executed, and when. Runs without a database, a model or a network."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import inngest

from concepts import outside
from concepts.shelf import client
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL

# The official server starts some ten runs a second when each customer has a queue of its own.
BURST = 100 if OFFICIAL else 1_000
CUSTOMERS = 40


def answered() -> list[int]:
    return [number for _, number in outside.asked("write_answer")]


def now(shelf: Shelf) -> datetime:
    """The engine's clock; the official server's test ends before it is read again."""
    return shelf.stand_in.now() if shelf.stand_in else datetime.now(UTC)


async def burst(name: str, count: int = BURST) -> None:
    """One customer writes every fourth email."""
    customers = ["loud" if number % 4 == 0 else f"customer-{number % CUSTOMERS}" for number in range(count)]
    await client.send(
        [
            inngest.Event(name=name, data={"customer_id": customer, "number": number})
            for number, customer in enumerate(customers)
        ]
    )


async def save(shelf: Shelf, document_id: str, *versions: int) -> None:
    for version in versions:
        data = {"document_id": document_id, "version": version}
        await shelf.send("concepts/flow_control.document-saved", data)
        # The official server keeps no order among events that come at the same moment.
        await shelf.settle()


async def told(shelf: Shelf, *expected: str) -> None:
    """Wait until the team was told of this, and of nothing else that begins with the same word."""

    def so_far() -> list[str]:
        return sorted(text for text in outside.asked("tell_team") if text.split()[0] == expected[0].split()[0])

    await shelf.until(lambda: len(so_far()) >= len(expected), f"{expected}")
    await shelf.settle()
    assert so_far() == sorted(expected)


async def test_of_a_burst_of_1000_ten_run_at_once_two_per_customer_and_none_is_dropped(shelf: Shelf) -> None:
    outside.hold()
    await burst("concepts/flow_control.email")
    await shelf.until(lambda: outside.busy["all"] == 10, "ten answers are written at once")
    outside.release()
    for part in range(1, 9):
        await shelf.until(lambda part=part: len(answered()) >= BURST * part // 8, f"{part}/8")  # type: ignore[misc]
    await shelf.settle()
    assert sorted(answered()) == list(range(BURST))
    assert outside.peak.pop("all") == 10
    assert max(outside.peak.values()) == 2


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
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await told(shelf, "announced version 1")
    await shelf.past(seconds=61)
    assert len(await shelf.runs("announce-once-a-minute")) == 1, "dropped, not delayed"


async def test_a_rate_limit_takes_one_more_when_its_period_is_over(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    for _ in range(2):
        await save(shelf, plan, 1, 2, 3)
        await shelf.advance(seconds=61)
    await told(shelf, *["announced version 1"] * 2)


async def test_a_debounce_merges_a_burst_into_one_run_with_the_last_event(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=7)
    assert await shelf.runs("index-after-quiet") == []
    await save(shelf, plan, 4, 5, 6)
    await shelf.past(seconds=7)
    assert await shelf.runs("index-after-quiet") == []
    await shelf.past(seconds=4)
    await told(shelf, "indexed version 6")


async def test_a_singleton_skips_what_comes_while_it_runs(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=11)
    await told(shelf, "imported version 1")


async def test_a_singleton_in_cancel_mode_lets_only_the_newest_finish(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=11)
    await told(shelf, "exported version 3")
    assert len(await shelf.runs("export-the-newest", "CANCELLED")) == 2


async def test_each_document_is_limited_merged_and_replaced_by_itself(shelf: Shelf) -> None:
    for document_id in (f"plan-{uuid4()}", f"report-{uuid4()}"):
        await save(shelf, document_id, 1, 2, 3)
    await shelf.past(seconds=12)
    for outcome in ("announced version 1", "indexed version 3", "imported version 1", "exported version 3"):
        await told(shelf, *[outcome] * 2)
