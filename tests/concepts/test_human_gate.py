"""Concept 15 proven by what was paid and what stands in the audit trail. Runs without a database or a network."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from concepts import human_gate, outside
from concepts.sleep_and_wait import APPROVAL_DECIDED, APPROVAL_FROM_CENTS
from tests.concepts.shelf import Shelf

GATE = "refund-with-hitl-gate"
MUCH, LITTLE = APPROVAL_FROM_CENTS, APPROVAL_FROM_CENTS - 1


async def ask_for(shelf: Shelf, amount_cents: int) -> str:
    """A refund was investigated; its request id."""
    request_id = f"request-{uuid4()}"
    data = {"request_id": request_id, "amount_cents": amount_cents}
    await shelf.send("customer/refund.investigated", data)
    return request_id


async def answer(shelf: Shelf, request_id: str, approved: object, **name: str) -> None:
    await shelf.send(APPROVAL_DECIDED, {"request_id": request_id, "approved": approved, **name})


async def ended(shelf: Shelf, status: str, decided_by: str) -> None:
    """Wait for the end: what the run returned, and the one row in the trail, which names who decided."""
    [(_, outcome, by)] = await shelf.asked("audit", 1)
    [output] = await shelf.outputs(GATE)
    assert (output["status"], outcome, by) == (status, status, decided_by)


async def test_below_the_threshold_the_agent_is_enough_and_nobody_is_asked(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, LITTLE)
    await ended(shelf, "issued", "auto")
    assert (outside.paid, outside.asked("tell_team")) == ([(request_id, LITTLE)], [])


async def test_what_the_agent_does_not_recommend_is_paid_by_nobody_but_a_person(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The course's condition asks a person only about what the agent recommends, and pays everything else."""

    async def advises_against(request_id: str) -> dict[str, Any]:
        return {"recommends_refund": False, "finding": "It was delivered."}

    monkeypatch.setattr(human_gate, "run_refund_investigation_agent", advises_against)
    await ask_for(shelf, LITTLE)
    await shelf.asked("tell_team", 1)
    assert outside.paid == []


async def test_from_the_threshold_on_nothing_is_paid_before_a_person_has_said_yes(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    assert (outside.paid, outside.asked("audit")) == ([], [])
    await answer(shelf, request_id, True, decided_by="grace")
    await ended(shelf, "issued", "human grace")
    assert outside.paid == [(request_id, MUCH)]


async def test_the_courses_event_without_a_name_is_audited_as_a_human(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await answer(shelf, request_id, True)
    await ended(shelf, "issued", "human")


@pytest.mark.parametrize("no", [False, "true", "false", 1, None])
async def test_a_no_and_whatever_is_not_a_plain_yes_pay_nothing_and_name_who_said_so(shelf: Shelf, no: object) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await answer(shelf, request_id, no, decided_by="grace")
    await ended(shelf, "rejected_by_human", "human grace")
    assert (outside.paid, len(outside.asked("send_mail"))) == ([], 1)


async def test_silence_is_never_a_yes_and_a_senior_reviewer_is_told(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.advance(hours=23, minutes=59)
    assert outside.asked("audit") == []
    await shelf.advance(minutes=2)
    await answer(shelf, request_id, True)
    await ended(shelf, "escalated_timeout", "nobody")
    assert outside.paid == []
    assert outside.asked("tell_team")[1] == f"senior reviewer: nobody decided {request_id}"


@pytest.mark.parametrize(
    "stranger",
    [
        {"request_id": "another", "approved": True},
        {"approved": True},
        {"order_id": "A-1001", "request_id": "' || true || '", "approved": True},
    ],
)
async def test_an_answer_to_another_question_decides_nothing(shelf: Shelf, stranger: dict[str, Any]) -> None:
    await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.send(APPROVAL_DECIDED, stranger)
    await shelf.settle()
    assert (outside.paid, outside.asked("audit")) == ([], [])


@pytest.mark.conformance("Waiting", "A run that waits holds no place of the concurrency limit.")
async def test_five_refunds_are_worked_on_at_once_and_one_that_waits_holds_no_place(shelf: Shelf) -> None:
    for _ in range(8):
        await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 8)
    assert len(await shelf.runs(GATE, "RUNNING")) == 8


@pytest.mark.conformance("Waiting", "A wait in parallel with the question hears an answer that comes at once.")
async def test_an_answer_at_the_moment_of_the_question_is_heard(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_at_once(shelf, monkeypatch)
    asked.append(await ask_for(shelf, MUCH))
    await ended(shelf, "issued", "human quick")
    assert outside.paid == [(asked[0], MUCH)]


async def test_asking_first_and_waiting_second_loses_the_answer(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_at_once(shelf, monkeypatch).append("request-1")
    await shelf.send("concepts/human_gate.asked_first", {"request_id": "request-1"})
    await shelf.asked("tell_team", 1)
    await shelf.advance(hours=25)
    assert await shelf.outputs("ask-first-wrong") == ["escalated_timeout"]


def answer_at_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever is asked answers before the question's step has ended. The list takes the request that is answered."""
    tell_team, requests = outside.tell_team, list[str]()

    async def tell_a_quick_team(text: str) -> None:
        await tell_team(text)
        while not requests:
            await asyncio.sleep(0.01)
        await answer(shelf, requests[0], True, decided_by="quick")

    monkeypatch.setattr(outside, "tell_team", tell_a_quick_team)
    return requests
