"""Concept 12 proven by who was answered when. Runs without a database, a model or a network."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf


def answered() -> list[str]:
    return [customer for customer, _ in outside.asked("write_answer")]


async def write(shelf: Shelf, *customers: str, event: str = "concepts/priority.email") -> None:
    """Each writes one email; the tier is the name up to the dash."""
    for customer in customers:
        await shelf.send(event, {"customer_id": customer, "tier": customer.split("-")[0]})


async def keep_the_desk_busy(shelf: Shelf) -> None:
    outside.hold()
    await write(shelf, "free-first")
    await shelf.until(lambda: outside.busy["all"] == 1, "the desk is taken")


async def test_enterprise_overtakes_pro_and_pro_overtakes_free_in_one_queue(shelf: Shelf) -> None:
    await keep_the_desk_busy(shelf)
    await write(shelf, "free-a", "pro-a", "enterprise-a", "free-b", "pro-b", "enterprise-b")
    outside.release()
    await shelf.asked("write_answer", 7)
    tiers = [customer.split("-")[0] for customer in answered()]
    assert tiers == ["free", "enterprise", "enterprise", "pro", "pro", "free", "free"]


async def test_a_head_start_is_120_or_60_seconds_so_that_nobody_waits_for_ever(shelf: Shelf) -> None:
    if shelf.stand_in is None:
        pytest.skip("the official server's clock cannot be moved")
    clock = shelf.stand_in.engine.clock
    await keep_the_desk_busy(shelf)
    for customer in ("free-at-0", "pro-at-50", "pro-at-100", "enterprise-at-150", "free-at-200"):
        # Not `advance`: it would wait for the desk.
        clock.jump_to(clock.now() + 50)
        await write(shelf, customer)
    outside.release()
    await shelf.asked("write_answer", 6)
    # Seconds minus head start: -10, 0, 30, 40, 200.
    assert answered() == ["free-first", "pro-at-50", "free-at-0", "enterprise-at-150", "pro-at-100", "free-at-200"]


async def test_no_tenant_is_above_its_share_whatever_its_priority(shelf: Shelf) -> None:
    outside.hold()
    greedy, others = ["enterprise-greedy"] * 20, ["free-a", "pro-b", "free-c"]
    await write(shelf, *greedy, *others, event="concepts/priority.shared-email")
    await shelf.until(lambda: outside.busy["all"] == 4, "every desk is taken")
    assert outside.busy["enterprise-greedy"] == 2, "the other two desks are the others'"
    outside.release()
    await shelf.asked("write_answer", 23)
    assert outside.peak["all"] == 4
    assert outside.peak["enterprise-greedy"] == 2


async def test_the_others_are_answered_long_before_the_greedy_tenants_backlog(shelf: Shelf) -> None:
    outside.hold()
    greedy, others = ["enterprise-greedy"] * 40, ["free-a", "pro-b", "free-c"]
    await write(shelf, *greedy, *others, event="concepts/priority.shared-email")
    outside.release()
    await shelf.asked("write_answer", 43)
    assert max(answered().index(other) for other in others) < 30
