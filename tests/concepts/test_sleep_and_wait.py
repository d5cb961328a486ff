"""Concept 8 proven by who was written to and paid, and when. Runs without any account."""

from uuid import uuid4

import pytest

from concepts import outside
from concepts.sleep_and_wait import APPROVAL_DECIDED
from tests.concepts.killable_shelf import apart
from tests.concepts.shelf import Shelf

TRIAL, REFUND, FAILED = "user/trial.started", "customer/refund.requested", "customer/refund.failed"
STARTED, ESCALATED = "customer/refund.investigation_started", "customer/refund.escalated"
SERIES, APPROVAL, INVESTIGATION = "trial-welcome-series", "refund-with-approval", "investigate-failed-refund"
MUCH, LITTLE = 10_000, 9_999
NOT_PAID = {"status": "rejected_or_timeout"}
REDEPLOYS = 5


async def decide(shelf: Shelf, request_id: str, approved: object = True) -> None:
    await shelf.send(APPROVAL_DECIDED, {"request_id": request_id, "approved": approved})


async def request(shelf: Shelf, amount_cents: int = MUCH) -> str:
    """Ask for a refund and let its run come as far as it can without an answer; the request's id."""
    request_id = f"request-{uuid4()}"
    await shelf.send(REFUND, {"request_id": request_id, "amount_cents": amount_cents})
    await shelf.until(lambda: outside.calls != [])
    await shelf.settle()
    return request_id


async def fail(shelf: Shelf) -> str:
    """A refund fails, and a person is asked to look at it; the request's id."""
    request_id = f"request-{uuid4()}"
    await shelf.send(FAILED, {"request_id": request_id})
    await shelf.asked("tell_team", 1)
    return request_id


def mails() -> list[str]:
    return [text for _, text in outside.asked("send_mail")]


async def test_the_trial_series_writes_twice_three_days_apart(shelf: Shelf) -> None:
    await shelf.send(TRIAL, {"user_id": "user_1"})
    await shelf.asked("send_mail", 1)
    for hours, count in ((71, 1), (2, 2)):
        await shelf.advance(hours=hours)
        assert len(mails()) == count
    assert await shelf.outputs(SERIES) == [{"status": "completed"}]
    assert mails() == ["Welcome to your trial!", "How is it going?"]


async def test_a_refund_below_100_dollars_waits_for_nobody(shelf: Shelf) -> None:
    request_id = await request(shelf, LITTLE)
    await shelf.ended(APPROVAL)
    assert (outside.paid, outside.asked("tell_team")) == ([(request_id, LITTLE)], [])


async def test_a_refund_that_is_approved_after_23_hours_is_paid_once(shelf: Shelf) -> None:
    request_id = await request(shelf)
    await shelf.advance(hours=23)
    assert outside.paid == []
    await decide(shelf, request_id)
    await decide(shelf, request_id)
    await shelf.ended(APPROVAL)
    await shelf.settle()
    assert outside.paid == [(request_id, MUCH)]


async def test_a_refund_that_nobody_approves_within_24_hours_is_not_paid(shelf: Shelf) -> None:
    request_id = await request(shelf)
    await shelf.advance(hours=24, minutes=1)
    [output] = await shelf.outputs(APPROVAL)
    await decide(shelf, request_id)
    await shelf.settle()
    assert (outside.paid, output) == ([], NOT_PAID)


@pytest.mark.parametrize("approved", [False, "true", None])
async def test_only_a_yes_pays(shelf: Shelf, approved: object) -> None:
    request_id = await request(shelf)
    await decide(shelf, request_id, approved)
    [output] = await shelf.outputs(APPROVAL)
    assert (outside.paid, output) == ([], NOT_PAID)


async def test_an_approval_wakes_its_own_refund_only(shelf: Shelf) -> None:
    first = await request(shelf)
    await request(shelf)
    await shelf.asked("tell_team", 2)
    await decide(shelf, first)
    await shelf.ended(APPROVAL)
    await shelf.settle()
    assert outside.paid == [(first, MUCH)]


@pytest.mark.conformance("Waiting", "A value that looks like an expression is only a value.")
async def test_an_id_that_says_yes_to_itself_wakes_nothing(shelf: Shelf) -> None:
    """With the id inside the expression, as the course writes it, any decision would match this request."""
    request_id = "' || true || '"
    await shelf.send(REFUND, {"request_id": request_id, "amount_cents": MUCH})
    await shelf.asked("tell_team", 1)
    await shelf.settle()
    await decide(shelf, "another")
    await shelf.settle()
    assert (outside.paid, len(await shelf.runs(APPROVAL, "RUNNING"))) == ([], 1)


async def test_an_investigation_that_a_person_starts_in_time_is_summarized(shelf: Shelf) -> None:
    request_id = await fail(shelf)
    await shelf.advance(hours=3, minutes=59)
    await shelf.send(STARTED, {"request_id": request_id})
    [output] = await shelf.outputs(INVESTIGATION)
    assert output["status"] == "investigated"
    assert output["summary"].endswith(f"Why did refund {request_id} fail?")


async def test_an_investigation_escalates_after_four_hours_of_silence(shelf: Shelf) -> None:
    await fail(shelf)
    await shelf.advance(hours=3, minutes=59)
    assert len(await shelf.runs(INVESTIGATION, "RUNNING")) == 1
    await shelf.advance(minutes=2)
    assert await shelf.outputs(INVESTIGATION) == [{"status": "escalated"}]
    assert shelf.stand_in
    assert [event.name for event in shelf.stand_in.state.events.values() if event.name == ESCALATED] == [ESCALATED]


async def test_an_approval_given_at_the_moment_of_the_question_is_heard(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked and awaited in parallel; asked first and awaited second, it comes too early."""

    async def tell_and_answer(text: str) -> None:
        await decide(shelf, text.rsplit(maxsplit=1)[-1])

    monkeypatch.setattr(outside, "tell_team", tell_and_answer)
    await shelf.send(REFUND, {"request_id": "request-1", "amount_cents": MUCH})
    assert await shelf.outputs(APPROVAL) == [{"status": "issued", "refund_id": "payment-1"}]


@pytest.mark.conformance("Waiting", "A sleep and a wait of days survive restarts of the app.")
async def test_a_sleep_and_a_wait_survive_five_redeploys(shelf: Shelf) -> None:
    """Each time the process is killed and another one started; at the end none is left that knew of the beginning."""
    async with apart() as program:
        await program.start()
        request_id = await request(shelf)
        await shelf.send(TRIAL, {"user_id": "user_1"})
        await shelf.asked("send_mail", 1)
        for _ in range(REDEPLOYS):
            program.kill()
            await program.start()
        assert (len(mails()), outside.paid, len(outside.asked("tell_team"))) == (1, [], 1)
        await decide(shelf, request_id)
        await shelf.ended(APPROVAL)
        assert (outside.paid, len(outside.asked("tell_team"))) == ([(request_id, MUCH)], 1)
        await shelf.advance(days=4)
        await shelf.ended(SERIES)
    assert mails() == ["Welcome to your trial!", "How is it going?"]
