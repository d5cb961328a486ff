"""Concept 8 proven by who was written to and paid, and when. Runs without any account."""

from typing import Any

import pytest

from concepts import outside
from tests.concepts.programs import apart
from tests.concepts.shelf import Shelf

TRIAL = "concepts/sleep_and_wait.trial"
REFUND = "concepts/sleep_and_wait.refund"
LARGE = "concepts/sleep_and_wait.large-refund"
LOST = "concepts/sleep_and_wait.lost"
FOUND = "concepts/sleep_and_wait.investigated"
ORDER = {"order_id": "A-1001", "amount_cents": 4900}
REDEPLOYS = 5


async def sign(shelf: Shelf, request_id: str, role: str = "lead", approved: object = True) -> None:
    data = {"request_id": request_id, "role": role, "approved": approved}
    await shelf.send("concepts/sleep_and_wait.signed", data)


async def waiting(shelf: Shelf, name: str, data: dict[str, Any]) -> str:
    """Start a run and let it come to its wait; the id of its event."""
    request_id = await shelf.send(name, data)
    await shelf.until(lambda: outside.calls != [], "the question")
    await shelf.settle()
    return request_id


def mails() -> list[str]:
    return [text for _, text in outside.asked("send_mail")]


def asked_for() -> list[str]:
    """Whose signature was asked for, in order."""
    return [text.split(":")[0] for text in outside.asked("tell_team")]


async def test_the_trial_series_writes_three_mails_over_three_days(shelf: Shelf) -> None:
    await shelf.send(TRIAL, {"customer_id": "cust_005"})
    await shelf.asked("send_mail", 1)
    for hours, count in ((23, 1), (2, 2), (46, 2), (2, 3)):
        await shelf.advance(hours=hours)
        assert len(mails()) == count
    await shelf.ended("sleep-trial-series")
    assert mails() == ["Welcome to your trial!", "Three things to try.", "Your trial ends today."]


async def test_a_refund_that_is_signed_after_23_hours_is_paid_once(shelf: Shelf) -> None:
    request_id = await waiting(shelf, REFUND, ORDER)
    await shelf.advance(hours=23)
    assert outside.paid == []
    await sign(shelf, request_id)
    await sign(shelf, request_id)
    await shelf.ended("wait-refund")
    await shelf.settle()
    assert outside.paid == [("A-1001", 4900)]


async def test_a_refund_that_nobody_signs_within_24_hours_is_not_paid(shelf: Shelf) -> None:
    request_id = await waiting(shelf, REFUND, ORDER)
    await shelf.advance(hours=24, minutes=1)
    [output] = await shelf.outputs("wait-refund")
    await sign(shelf, request_id)
    await shelf.settle()
    assert (outside.paid, output) == ([], "not paid")


@pytest.mark.parametrize("approved", [False, "true", None])
async def test_only_a_yes_pays(shelf: Shelf, approved: object) -> None:
    request_id = await waiting(shelf, REFUND, ORDER)
    await sign(shelf, request_id, approved=approved)
    [output] = await shelf.outputs("wait-refund")
    assert (outside.paid, output) == ([], "not paid")


async def test_a_signature_wakes_its_own_refund_only(shelf: Shelf) -> None:
    first = await waiting(shelf, REFUND, ORDER)
    await shelf.send(REFUND, {"order_id": "B-2002", "amount_cents": 100})
    await shelf.asked("tell_team", 2)
    await sign(shelf, first)
    await shelf.ended("wait-refund")
    await shelf.settle()
    assert outside.paid == [("A-1001", 4900)]


async def test_an_investigation_that_is_answered_in_time_writes_to_the_customer(shelf: Shelf) -> None:
    request_id = await waiting(shelf, LOST, {"customer_id": "cust_003"})
    await shelf.advance(hours=3, minutes=59)
    await shelf.send(FOUND, {"request_id": request_id, "finding": "It lies in Lyon."})
    await shelf.ended("wait-investigate")
    assert (outside.asked("send_mail"), outside.asked("tell_team")) == ([("cust_003", "It lies in Lyon.")], [])


async def test_an_investigation_escalates_after_four_hours_of_silence(shelf: Shelf) -> None:
    await waiting(shelf, LOST, {"customer_id": "cust_003"})
    await shelf.advance(hours=3, minutes=59)
    assert outside.asked("tell_team") == []
    await shelf.advance(minutes=2)
    await shelf.ended("wait-investigate")
    assert (outside.asked("send_mail"), len(outside.asked("tell_team"))) == ([], 1)


async def test_of_two_waits_in_sequence_each_has_its_own_day(shelf: Shelf) -> None:
    """Signed after 20 hours and after 40: together longer than either may take."""
    request_id = await waiting(shelf, LARGE, ORDER)
    await shelf.advance(hours=20)
    assert asked_for() == ["lead"]
    await sign(shelf, request_id, "lead")
    await shelf.settle()
    assert asked_for() == ["lead", "finance"]
    await shelf.advance(hours=20)
    await sign(shelf, request_id, "finance")
    await shelf.ended("wait-twice")
    assert outside.paid == [("A-1001", 4900)]


@pytest.mark.parametrize("signed", [0, 1])
async def test_of_two_waits_in_sequence_either_can_end_it_without_money(shelf: Shelf, signed: int) -> None:
    request_id = await waiting(shelf, LARGE, ORDER)
    if signed:
        await sign(shelf, request_id, "lead")
        await shelf.settle()
    await shelf.advance(hours=24, minutes=1)
    [output] = await shelf.outputs("wait-twice")
    assert (outside.paid, output, len(asked_for())) == ([], "not paid", signed + 1)


async def test_of_two_waits_in_sequence_a_no_to_the_first_asks_nobody_else(shelf: Shelf) -> None:
    request_id = await waiting(shelf, LARGE, ORDER)
    await sign(shelf, request_id, "lead", approved=False)
    [output] = await shelf.outputs("wait-twice")
    assert (outside.paid, output, asked_for()) == ([], "not paid", ["lead"])


async def test_a_signature_that_comes_before_its_own_wait_is_lost(shelf: Shelf) -> None:
    request_id = await waiting(shelf, LARGE, ORDER)
    await sign(shelf, request_id, "finance")
    await shelf.settle()
    assert asked_for() == ["lead"]
    await sign(shelf, request_id, "lead")
    await shelf.asked("tell_team", 2)
    assert [outside.paid, await shelf.runs("wait-twice", "COMPLETED")] == [[], []]
    await sign(shelf, request_id, "finance")
    await shelf.ended("wait-twice")
    assert outside.paid == [("A-1001", 4900)]


async def test_a_signature_given_at_the_moment_of_the_question_is_heard(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked and awaited in parallel; asked first and awaited second, it comes too early."""
    answered: list[str] = []

    async def tell_and_answer(text: str) -> None:
        request_id = text.rsplit(maxsplit=1)[-1].strip("?")
        await sign(shelf, request_id)
        answered.append(request_id)

    monkeypatch.setattr(outside, "tell_team", tell_and_answer)
    request_id = await shelf.send(REFUND, ORDER)
    [output] = await shelf.outputs("wait-refund")
    assert (answered, output) == ([request_id], "payment-1")


async def test_a_sleep_and_a_wait_survive_five_redeploys(shelf: Shelf) -> None:
    """Each time the process is killed and another one started; at the end none is left that knew of the beginning."""
    async with apart() as program:
        await program.start()
        request_id = await waiting(shelf, REFUND, ORDER)
        await shelf.send(TRIAL, {"customer_id": "cust_005"})
        await shelf.asked("send_mail", 1)
        for _ in range(REDEPLOYS):
            program.kill()
            await program.start()
        assert (len(mails()), outside.paid, len(asked_for())) == (1, [], 1)
        await sign(shelf, request_id)
        await shelf.ended("wait-refund")
        assert (outside.paid, len(asked_for())) == ([("A-1001", 4900)], 1)
        await shelf.advance(days=4)
        await shelf.ended("sleep-trial-series")
    assert mails() == ["Welcome to your trial!", "Three things to try.", "Your trial ends today."]
