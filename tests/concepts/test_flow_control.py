"""Concept 11 proven by what was executed, and when. Runs without a database, a model or a network."""

import time
from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client
from tests.adversary.profile import TORTURE
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL

# The course's burst is of 1,000; fewer show the pace. The official server starts some ten runs a second when each
# customer has a queue of its own.
BURST = 100 if OFFICIAL else 1_000 if TORTURE else 400
CUSTOMERS = 40


def answered() -> list[int]:
    return [number for _, number in outside.asked("write_answer")]


async def burst(name: str, count: int = BURST) -> None:
    """One customer writes every fourth email."""
    customers = ["loud" if number % 4 == 0 else f"customer-{number % CUSTOMERS}" for number in range(count)]
    await client.send(
        [
            inngest.Event(name=name, data={"customer_id": customer, "number": number})
            for number, customer in enumerate(customers)
        ]
    )


async def start(shelf: Shelf) -> None:
    """Let the throttle start the whole burst, while the desks write as fast as they can."""
    while len(answered()) < BURST:
        await shelf.advance(minutes=1)


async def test_of_a_burst_ten_run_at_once_two_per_customer_and_none_is_dropped(shelf: Shelf) -> None:
    outside.hold()
    await burst("concepts/flow_control.email")
    await shelf.until(lambda: outside.busy["all"] == 10)
    outside.release()
    await start(shelf)
    assert sorted(answered()) == list(range(BURST))
    assert outside.peak.pop("all") == 10
    assert max(outside.peak.values()) == 2


async def test_without_limits_the_whole_burst_is_written_at_once(shelf: Shelf) -> None:
    outside.hold()
    await burst("concepts/flow_control.unlimited", 100)
    await shelf.until(lambda: outside.busy["all"] == 100)
    outside.release()
    await shelf.asked("write_answer", 100)


async def test_a_throttled_burst_starts_101_at_once_then_100_a_minute_and_none_is_dropped(shelf: Shelf) -> None:
    began = time.monotonic()
    await burst("concepts/flow_control.email")
    await shelf.until(lambda: len(answered()) >= 101)
    await shelf.settle()
    assert len(answered()) <= 101 + (time.monotonic() - began) / 0.6
    per_minute = []
    while True:
        before, since = len(answered()), shelf.now()
        await shelf.advance(minutes=1)
        if len(answered()) == BURST:
            break
        per_minute.append((len(answered()) - before) / ((shelf.now() - since) / timedelta(minutes=1)))
    assert 98 <= min(per_minute) <= max(per_minute) <= 102
    assert BURST // 100 - 3 <= len(per_minute) <= BURST // 100 - 1
    assert sorted(answered()) == list(range(BURST))
