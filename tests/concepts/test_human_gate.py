"""Concept 15 proven by what was paid and what stands in the audit trail. Runs without a database or a network."""

import json
from typing import Any

import pytest

from concepts import outside
from concepts.human_gate import LIMIT_CENTS
from tests.concepts.shelf import Shelf

DECIDED = "concepts/human_gate.decided"
MUCH = LIMIT_CENTS + 1


async def ask_for(shelf: Shelf, cents: int) -> str:
    """A refund is asked for; its request id."""
    return await shelf.send("concepts/human_gate.refund", {"order_id": "A-1001", "cents": cents})


async def answer(shelf: Shelf, request_id: str, approved: object, decided_by: str = "grace") -> None:
    await shelf.send(DECIDED, {"request_id": request_id, "approved": approved, "decided_by": decided_by})


async def audited(shelf: Shelf, *expected: tuple[str, str]) -> None:
    """Wait until the trail holds this, in this order: outcome and who decided. More is never right."""
    trail = await shelf.asked("audit", len(expected))
    assert [(outcome, decided_by) for _, outcome, decided_by in trail] == list(expected)


async def test_up_to_the_threshold_the_rule_decides_and_nobody_is_asked(shelf: Shelf) -> None:
    await ask_for(shelf, LIMIT_CENTS)
    await audited(shelf, ("approved", "rule"))
    assert outside.paid == [("A-1001", LIMIT_CENTS)]
    assert outside.asked("tell_team") == []


async def test_above_the_threshold_nothing_is_paid_before_a_person_has_said_yes(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    assert outside.paid == []
    assert outside.asked("audit") == []
    await answer(shelf, request_id, True)
    await audited(shelf, ("approved", "grace"))
    assert outside.paid == [("A-1001", MUCH)]


@pytest.mark.parametrize("no", [False, "true", "false", 1, None])
async def test_a_no_and_whatever_is_not_a_plain_yes_pay_nothing_and_name_who_said_so(shelf: Shelf, no: object) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await answer(shelf, request_id, no)
    await audited(shelf, ("rejected", "grace"))
    assert outside.paid == []


async def test_after_four_hours_of_silence_the_manager_is_asked_and_decides(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.advance(hours=3, minutes=55)
    assert [text.split(":")[0] for text in outside.asked("tell_team")] == ["reviewer"]
    await shelf.advance(minutes=10)
    assert [text.split(":")[0] for text in outside.asked("tell_team")] == ["reviewer", "manager"]
    await answer(shelf, request_id, True, "barbara")
    await audited(shelf, ("escalated", "nobody"), ("approved", "barbara"))
    assert outside.paid == [("A-1001", MUCH)]


async def test_silence_is_never_a_yes(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.advance(hours=29)
    await answer(shelf, request_id, True)
    await audited(shelf, ("escalated", "nobody"), ("expired", "nobody"))
    assert outside.paid == []


@pytest.mark.parametrize(
    "stranger",
    [
        {"request_id": "another", "approved": True, "decided_by": "grace"},
        {"approved": True, "decided_by": "grace"},
        {"order_id": "A-1001", "request_id": "' || true || '", "approved": True, "decided_by": "grace"},
    ],
)
async def test_an_answer_to_another_question_decides_nothing(shelf: Shelf, stranger: dict[str, Any]) -> None:
    await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.send(DECIDED, stranger)
    await shelf.settle()
    assert outside.paid == []
    assert outside.asked("audit") == []


async def test_an_answer_without_a_name_decides_nothing(shelf: Shelf) -> None:
    request_id = await ask_for(shelf, MUCH)
    await shelf.asked("tell_team", 1)
    await shelf.send(DECIDED, {"request_id": request_id, "approved": True})
    await shelf.settle()
    assert outside.paid == []
    await answer(shelf, request_id, False, "barbara")
    await audited(shelf, ("rejected", "barbara"))


async def test_an_answer_at_the_moment_of_the_question_is_heard(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_at_once(shelf, monkeypatch)
    await ask_for(shelf, MUCH)
    await audited(shelf, ("approved", "quick"))
    assert outside.paid == [("A-1001", MUCH)]


async def test_asking_first_and_waiting_second_loses_the_answer(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_at_once(shelf, monkeypatch)
    await shelf.send("concepts/human_gate.refund-wrong", {})
    await shelf.asked("tell_team", 1)
    await shelf.advance(hours=5)
    (run,) = await shelf.ended("gate-ask-first-wrong")
    assert json.loads(run["output"]) == "expired"


def answer_at_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked answers before the question's step has ended."""
    tell_team = outside.tell_team

    async def tell_a_quick_team(text: str) -> None:
        await tell_team(text)
        await answer(shelf, text.rsplit(maxsplit=1)[-1].rstrip("?"), True, "quick")

    monkeypatch.setattr(outside, "tell_team", tell_a_quick_team)
