"""Concept 9 proven by counting attempts. Runs without any account."""

import inngest
import inngest.fast_api
import pytest

from concepts import outside, retries
from tests.concepts.shelf import Shelf

DOWN = ConnectionError("down for a moment")
CHECKOUT, DUNNING = "order/checkout.completed", "customer/dunning.requested"
ADA = {"customer_id": "cust_001"}
DECLINED = {"customer_id": "cust_002", "order_id": "declined"}


def times(name: str) -> int:
    return len(outside.asked(name))


async def first_attempt(shelf: Shelf, name: str) -> None:
    await shelf.until(lambda: times(name) > 0)


@pytest.mark.conformance("Failures", "A step that fails is tried again after a while.")
async def test_a_transient_failure_costs_its_step_one_more_attempt_and_the_step_before_none(shelf: Shelf) -> None:
    outside.fail("ask_model", DOWN)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "ask_model")
    await shelf.past_retries()
    [output] = await shelf.outputs("brief-the-team")
    assert output["partial"] is False
    assert (times("look_up"), times("ask_model"), times("tell_team")) == (1, 2, 1)


async def test_each_step_has_its_own_budget_of_attempts(shelf: Shelf) -> None:
    """Nine failures, and a run of at most three retries completes: no step fails a fourth time."""
    for name in ("look_up", "ask_model", "tell_team"):
        outside.fail(name, *[DOWN] * 3)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "look_up")
    await shelf.advance(hours=1)
    [output] = await shelf.outputs("brief-the-team")
    assert output["partial"] is False
    assert (times("look_up"), times("ask_model"), times("tell_team")) == (4, 4, 4)


async def test_a_step_that_fails_once_more_than_its_budget_fails_the_run(shelf: Shelf) -> None:
    outside.fail("look_up", *[DOWN] * 4)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "look_up")
    await shelf.advance(hours=1)
    await shelf.ended("brief-the-team", "FAILED")
    assert (times("look_up"), times("ask_model")) == (4, 0)


async def test_a_step_that_has_used_up_its_attempts_is_caught_and_the_rest_goes_on_as_partial(shelf: Shelf) -> None:
    outside.fail("ask_model", *[DOWN] * 4)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "ask_model")
    await shelf.advance(hours=1)
    [output] = await shelf.outputs("brief-the-team")
    assert output == {"advice": None, "partial": True}
    assert (times("look_up"), times("ask_model"), outside.asked("tell_team")) == (1, 4, ["no advice"])


async def test_a_retry_comes_when_the_busy_model_says(shelf: Shelf) -> None:
    """After an hour; by its usual backoff it would have come after half a minute."""
    outside.fail("ask_model", outside.BusyError(3600))
    await shelf.send("api/call-external", {"question": "Why?"})
    await first_attempt(shelf, "ask_model")
    await shelf.advance(minutes=59)
    assert times("ask_model") == 1
    await shelf.advance(minutes=2)
    await shelf.ended("api/external-call")
    assert times("ask_model") == 2


@pytest.mark.conformance("Failures", "NonRetriableError fails the run at once.")
async def test_a_permanent_failure_is_not_tried_again(shelf: Shelf) -> None:
    await shelf.send("concepts/retries.charge", DECLINED)
    await shelf.ended("retries-charge", "FAILED")
    await shelf.past_retries()
    assert (await shelf.asked("pay", 1), outside.paid) == ([("declined", 4900, "declined")], [])


@pytest.mark.conformance("Failures", "A step whose NonRetriableError is caught runs again at the next call.")
async def test_a_caught_permanent_error_runs_its_step_again(shelf: Shelf) -> None:
    """One step comes after the charge: without a memory of it, it is made before that step and after it."""
    await shelf.send("concepts/retries.caught", DECLINED)
    assert await shelf.outputs("charge-and-catch-wrong") == ["the card is declined"]
    assert (times("pay"), times("send_mail")) == (2, 1)


async def test_a_decline_as_a_value_is_asked_for_once_and_starts_the_dunning(shelf: Shelf) -> None:
    await shelf.send(CHECKOUT, {"order_id": "declined", "amount_cents": 4900})
    assert await shelf.outputs("charge-customer") == [{"status": "card_declined"}]
    assert (times("pay"), outside.stored) == (1, {"failed-declined": "the card is declined"})
    if shelf.stand_in is not None:
        sent = [event.data for event in shelf.stand_in.state.events.values() if event.name == DUNNING]
        assert sent == [{"order_id": "declined"}]


async def test_a_bank_that_is_down_is_asked_three_times_and_paid_once(shelf: Shelf) -> None:
    outside.fail("pay", DOWN, DOWN)
    await shelf.send(CHECKOUT, {"order_id": "A-1001", "amount_cents": 4900})
    await first_attempt(shelf, "pay")
    await shelf.advance(hours=1)
    assert await shelf.outputs("charge-customer") == [{"status": "charged", "charge_id": "payment-1"}]
    assert (times("pay"), outside.paid) == (3, [("A-1001", 4900)])


async def test_whoever_catches_more_than_a_step_error_also_catches_the_wish_to_be_retried_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt is taken for the last word, and the step runs again all the same, at once."""

    async def busy(order_id: str) -> str:
        await outside.pay(order_id, 4900)
        raise inngest.RetryAfterError("later", 3_600_000)

    monkeypatch.setattr(retries, "charge_or_raise", busy)
    await shelf.send("concepts/retries.caught", {"customer_id": "cust_002", "order_id": "A-1001"})
    [output] = await shelf.outputs("charge-and-catch-wrong")
    assert (output, outside.paid) == ("later", [("A-1001", 4900)] * 2)
