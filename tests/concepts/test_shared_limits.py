"""Limits proven by how much was done at once. Runs without a database, a model or a network."""

from typing import Any
from uuid import uuid4

import inngest
import pytest

from concepts import outside, shared_limits
from concepts.shelf import client
from tests.concepts.shelf import Shelf


async def held(shelf: Shelf, *events: tuple[str, dict[str, Any]], at_once: int) -> None:
    """Send these events while nothing can be finished: so many are begun. Then let all of them end."""
    outside.hold()
    await client.send([inngest.Event(name=name, data=data) for name, data in events])
    await shelf.until(lambda: outside.busy["all"] == at_once)
    outside.release()
    await shelf.asked("write_answer", len(events))
    assert outside.peak["all"] == at_once


async def test_one_send_of_three_events_wakes_each_functions_own_listener_once(shelf: Shelf) -> None:
    order_id = f"A-{uuid4()}"
    await shared_limits.place_order(order_id, "user_1")
    await shared_limits.place_order(order_id, "user_1")
    assert sorted(await shelf.asked("write_answer", 2)) == [("orders", order_id), ("user_1", "notification")]


async def test_ten_orders_are_processed_at_once(shelf: Shelf) -> None:
    await held(shelf, *[("order/placed", {"order_id": f"A-{number}"}) for number in range(25)], at_once=10)


@pytest.mark.parametrize(("event", "limit"), [("user/action", 3), ("notification/send", 5)])
async def test_each_user_has_a_limit_of_its_own(shelf: Shelf, event: str, limit: int) -> None:
    users = ["loud"] * 20 + ["quiet"] * 2
    await held(shelf, *[(event, {"user_id": user}) for user in users], at_once=limit + 2)
    assert (outside.peak["loud"], outside.peak["quiet"]) == (limit, 2)


async def test_a_hundred_notifications_are_sent_at_once(shelf: Shelf) -> None:
    users = [f"user-{number}" for number in range(110)]
    await held(shelf, *[("notification/send", {"user_id": user}) for user in users], at_once=100)


@pytest.mark.conformance("Flow control", "Functions share a concurrency limit of the environment.")
async def test_functions_that_name_the_same_limit_share_it(shelf: Shelf) -> None:
    names = ["concepts/shared_limits.summary", "concepts/shared_limits.translation"]
    await held(shelf, *[(name, {}) for name in names for _ in range(10)], at_once=4)
    assert outside.peak["summaries"] <= 4
