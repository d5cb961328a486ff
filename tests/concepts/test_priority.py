"""Concept 12 proven by who was answered when. Runs without a database, a model or a network."""

import asyncio

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

# The course's 100, 0 and -100, moved so that none is a delay.
PRIORITY = {"enterprise": 200, "pro": 100, "free": 0}


def answered() -> list[str]:
    return [customer for customer, _ in outside.asked("write_answer")]


async def write(shelf: Shelf, *customers: str, event: str = "concepts/priority.email") -> None:
    """Each writes one email, and each is queued; the tier is the name up to the dash."""
    emails = [{"tenant_id": customer, "tier_priority": PRIORITY[customer.split("-")[0]]} for customer in customers]
    if shelf.stand_in is not None:
        # Over HTTP it would answer before the runs are in its queue, as the official server does.
        shelf.stand_in.send_events([{"name": event, "data": email} for email in emails])
        return
    for email in emails:
        await shelf.send(event, email)
    # No view of the official server shows its queue.
    await asyncio.sleep(0.2)


async def keep_the_desk_busy(shelf: Shelf) -> None:
    outside.hold()
    await write(shelf, "free-first")
    await shelf.until(lambda: outside.busy["all"] == 1)


@pytest.mark.conformance("Flow control", "A run with a higher priority starts first.")
async def test_enterprise_overtakes_pro_and_pro_overtakes_free_in_one_queue(shelf: Shelf) -> None:
    await keep_the_desk_busy(shelf)
    await write(shelf, "free-a", "pro-a", "enterprise-a", "free-b", "pro-b", "enterprise-b")
    outside.release()
    await shelf.asked("write_answer", 7)
    tiers = [customer.split("-")[0] for customer in answered()]
    assert tiers == ["free", "enterprise", "enterprise", "pro", "pro", "free", "free"]


async def test_a_head_start_is_a_number_of_seconds_so_that_nobody_waits_for_ever(shelf: Shelf) -> None:
    if shelf.stand_in is None:
        pytest.skip("the official server's clock cannot be moved")
    clock = shelf.stand_in.engine.clock
    await keep_the_desk_busy(shelf)
    for customer in ("free-at-0", "pro-at-90", "pro-at-180", "enterprise-at-270", "free-at-360"):
        # Not `advance`: it would wait for the desk.
        clock.jump_to(clock.now() + 90)
        await write(shelf, customer)
    outside.release()
    await shelf.asked("write_answer", 6)
    # Seconds minus head start: -10, 0, 70, 80, 360.
    queue = ["pro-at-90", "free-at-0", "enterprise-at-270", "pro-at-180", "free-at-360"]
    assert answered() == ["free-first", *queue]


@pytest.mark.conformance("Flow control", "A priority below zero delays a run. What is no integer counts as 0.")
async def test_below_zero_is_a_delay_and_a_number_without_int_is_nothing(shelf: Shelf) -> None:
    # Where the clock is moved, the delay is too long to pass by itself.
    seconds = 2 if shelf.stand_in is None else 600
    late = {"tenant_id": "late", "tier_priority": -seconds}
    await shelf.send("concepts/priority.email", late)
    await shelf.send("concepts/priority.email-wrong", late | {"tenant_id": "at-once"})
    await shelf.until(answered, ["at-once"])
    await shelf.past(seconds=seconds)
    await shelf.asked("write_answer", 2)


async def test_no_tenant_is_above_its_share_whatever_its_priority(shelf: Shelf) -> None:
    outside.hold()
    tenants = [f"free-{number}" for number in range(20)]
    await write(shelf, *["enterprise-greedy"] * 20, *tenants * 3, event="concepts/priority.shared-email")
    await shelf.until(lambda: outside.busy["all"] == 50)
    assert outside.busy["enterprise-greedy"] == 3, "the other 47 slots are the others'"
    outside.release()
    await shelf.asked("write_answer", 80)
    assert outside.peak.pop("all") == 50
    assert max(outside.peak.values()) == 3


@pytest.mark.conformance("Flow control", "With a limit per key, a long queue of one key holds up no other.")
async def test_the_others_are_answered_long_before_the_greedy_tenants_backlog(shelf: Shelf) -> None:
    outside.hold()
    greedy, others = ["enterprise-greedy"] * 40, ["free-a", "pro-b", "free-c"]
    await write(shelf, *greedy, *others, event="concepts/priority.shared-email")
    outside.release()
    await shelf.asked("write_answer", 43)
    assert max(answered().index(other) for other in others) < 30
