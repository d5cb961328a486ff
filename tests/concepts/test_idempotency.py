"""Concept 4 proven by what left the account. Runs without a database, a model or a network."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from concepts import idempotency, outside
from tests.concepts.killable_shelf import apart
from tests.concepts.shelf import Shelf

Ask = Callable[[str, int], Awaitable[None]]
LATE = "concepts/idempotency.delay_noticed"


@pytest.fixture
def order() -> str:
    """An order that no test had before: the engine remembers."""
    return f"A-{uuid4()}"


@pytest.mark.conformance("Events", "Two events with the same id start a function once.")
async def test_the_same_event_id_twice_is_one_run(shelf: Shelf, order: str) -> None:
    await idempotency.request_refund(order, 4900)
    await idempotency.request_refund(order, 4900)
    another = f"{order}-B"
    await idempotency.request_refund(another, 1200)
    await shelf.asked("pay", 2)
    assert sorted(outside.paid) == sorted([(order, 4900), (another, 1200)])
    assert len(await shelf.runs("issue-customer-refund")) == 2


async def test_after_24_hours_the_same_event_id_is_a_new_run(shelf: Shelf, order: str) -> None:
    await idempotency.request_refund(order, 4900)
    await shelf.asked("pay", 1)
    await shelf.advance(hours=23, minutes=59)
    await idempotency.request_refund(order, 4900)
    await shelf.asked("pay", 1)
    await shelf.advance(minutes=2)
    await idempotency.request_refund(order, 4900)
    await shelf.asked("pay", 2)
    # What the engine has forgotten by then, the bank has not.
    assert outside.paid == [(order, 4900)]


async def test_a_key_from_a_timestamp_pays_twice(shelf: Shelf, order: str) -> None:
    await idempotency.request_refund_wrong(order, 4900)
    await idempotency.request_refund_wrong(order, 4900)
    await shelf.asked("pay", 2)
    assert outside.paid == [(order, 4900)] * 2


@pytest.mark.parametrize(("ask", "payments"), [(idempotency.request_refund, 1), (idempotency.request_refund_wrong, 2)])
async def test_a_process_killed_after_the_payment_pays_again_unless_the_bank_knows_the_key(
    shelf: Shelf, order: str, ask: Ask, payments: int
) -> None:
    async with apart() as program:
        await program.start(die_after="pay")
        await ask(order, 4900)
        await program.died()
        assert outside.paid == [(order, 4900)]
        await program.start()
        await shelf.past_retries()
        await shelf.asked("pay", 2)
    assert outside.paid == [(order, 4900)] * payments


@pytest.mark.conformance("Flow control", "With an idempotency expression a function runs once for each of its values.")
async def test_the_function_runs_once_per_order_whatever_the_ids_of_the_events(shelf: Shelf, order: str) -> None:
    for sender in ("carrier", "warehouse", "shop"):
        await shelf.send(LATE, {"order_id": order, "customer_id": "cust_001"}, id=f"{sender}-{order}")
    await shelf.send(LATE, {"order_id": f"{order}-B", "customer_id": "cust_002"}, id=f"carrier-{order}-B")
    assert sorted(to for to, _ in await shelf.asked("send_mail", 2)) == ["cust_001", "cust_002"]


async def test_after_24_hours_the_function_runs_for_the_order_again(shelf: Shelf, order: str) -> None:
    await shelf.send(LATE, {"order_id": order, "customer_id": "cust_001"})
    await shelf.asked("send_mail", 1)
    await shelf.advance(hours=23, minutes=59)
    await shelf.send(LATE, {"order_id": order, "customer_id": "cust_001"})
    await shelf.asked("send_mail", 1)
    await shelf.advance(minutes=2)
    await shelf.send(LATE, {"order_id": order, "customer_id": "cust_001"})
    await shelf.asked("send_mail", 2)


async def test_a_failure_of_the_last_step_does_not_pay_again(shelf: Shelf, order: str) -> None:
    outside.fail("audit", ConnectionError("the database is down"))
    await idempotency.request_refund(order, 4900)
    await shelf.until(lambda: outside.asked("audit") != [])
    await shelf.past_retries()
    assert await shelf.outputs("issue-customer-refund") == [{"refund_id": "payment-1"}]
    assert (len(outside.asked("pay")), len(outside.asked("audit"))) == (1, 2)
