"""Early, late, twice, at the same instant: there is one outcome, and whoever comes second is told which."""

import asyncio
from functools import partial
from typing import Any

import pytest

import db
from refunds import ledger, payments
from steps import approval, wake_ups
from tests.adversary.profile import TORTURE
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.ledger import approve_unseen, decide, rewrite

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
ISSUED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
BLOCKED = {"message_received": 1, "refund_blocked": 1, "message_sent": 1}
PAUSES_MS = [0, 1, 2, 4, 8, 16] if TORTURE else [0, 2, 8]


async def paused(engine: Engine) -> str:
    """An email whose run waits at the gate; its event id."""
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.settle()
    return event_id


async def asked(run_id: str = "run", order_id: str = "A-1001") -> int:
    """A pending refund without a run; its number."""
    refund = {"call_id": "call", "order_id": order_id, "amount_cents": 4900, "reason": "Duplicate charge"}
    await ledger.open_requests(run_id, "request", "cust_002", [refund])
    return int((await ledger.of_run(run_id))[0]["id"])


async def history(event: str) -> list[dict[str, Any]]:
    return await db.fetch("select refund_id, actor, why from refund_history where event = $1 order by id", event)


@pytest.mark.parametrize("pause_ms", PAUSES_MS)
async def test_an_event_in_the_millisecond_of_the_timeout_has_one_outcome(engine: Engine, pause_ms: int) -> None:
    event_id = await paused(engine)
    await engine.advance(hours=3, minutes=59, seconds=50)

    async def decision() -> None:
        await asyncio.sleep(pause_ms / 1000)
        await engine.decide(approved=True, request_id=event_id)

    await asyncio.gather(engine.advance(seconds=10), decision())
    await engine.settle()
    assert (await refunds_in_ledger(), await actions()) in [
        ([("issued", "approved")], ISSUED),
        ([("blocked", "expired")], BLOCKED),
    ]


@pytest.mark.parametrize("pause_ms", PAUSES_MS)
async def test_a_decision_recorded_in_the_millisecond_of_the_timeout_is_kept_or_refused(
    engine: Engine, pause_ms: int
) -> None:
    await paused(engine)

    async def decision() -> str | None:
        await asyncio.sleep(pause_ms / 1000)
        return await decide(1, approved=True, by="grace")

    _, refusal = await asyncio.gather(engine.advance(hours=4, seconds=1), decision())
    await engine.settle()
    if refusal is None:
        assert (await refunds_in_ledger(), await actions()) == ([("issued", "approved")], ISSUED)
    else:
        assert (await refunds_in_ledger(), await actions()) == ([("blocked", "expired")], BLOCKED)
        assert [row["why"] for row in await history("decision refused")] == [refusal]


async def decided_between_two_waits(engine: Engine, monkeypatch: pytest.MonkeyPatch, **wake_up: Any) -> None:
    """Pause a run and approve its refund just after it has read that nothing was decided, before it waits again.

    `wake_up` is what the decision's event says besides the request.
    """
    if engine.is_official:
        pytest.skip("the official server takes a moment to hear of an event, and then the run waits again")
    original = approval.read_decisions

    async def decided_just_after(run_id: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        verdict = await original(run_id, *arguments, **options)
        if verdict["seconds_left"]:
            assert await decide(1, approved=True, by="grace") is None
            await engine.decide(request_id=event_id, **wake_up)
        return verdict

    monkeypatch.setattr(approval, "read_decisions", decided_just_after)
    event_id = await paused(engine)
    await engine.decide(request_id=event_id)
    await engine.settle()
    assert await refunds_in_ledger() == [("approved", "approved")]


async def test_a_decision_between_two_waits_is_found_when_the_time_is_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its wake-up finds nobody waiting: the run has just read that nothing was decided."""
    await decided_between_two_waits(engine, monkeypatch)
    await engine.advance(hours=4, seconds=1)
    assert (await refunds_in_ledger(), await actions()) == ([("issued", "approved")], ISSUED)


@pytest.fixture
def asks_again(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An agent that asks for a second refund when it is told about the first. Steps of the first round, to repeat."""
    rounds: dict[str, Any] = {}
    monkeypatch.setenv("MODEL", "rule-based:asks-again")
    monkeypatch.setattr(approval, "read_decisions", remembering(rounds, approval.read_decisions))
    monkeypatch.setattr(approval, "resume_agent", remembering(rounds, approval.resume_agent))
    return rounds


def remembering(rounds: dict[str, Any], original: Any) -> Any:
    async def step(*arguments: Any, **options: Any) -> Any:
        rounds.setdefault(original.__name__, partial(original, *arguments, **options))
        return await original(*arguments, **options)

    return step


async def test_an_old_call_of_the_engine_does_not_end_the_time_of_a_later_refund(
    engine: Engine, asks_again: dict[str, Any]
) -> None:
    await paused(engine)
    await engine.advance(hours=4, seconds=1)
    assert await refunds_in_ledger() == [("blocked", "expired"), ("pending", None)]
    await asks_again["read_decisions"]()
    assert await refunds_in_ledger() == [("blocked", "expired"), ("pending", None)]


async def test_an_old_call_of_the_engine_does_not_take_back_a_later_refund(
    engine: Engine, asks_again: dict[str, Any]
) -> None:
    event_id = await paused(engine)
    assert await decide(1, approved=True, by="grace") is None
    await engine.decide(request_id=event_id)
    await engine.until(refunds_in_ledger, [("issued", "approved"), ("pending", None)])
    await engine.settle()
    assert await decide(2, approved=True, by="grace") is None
    await asks_again["resume_agent"]()
    assert await refunds_in_ledger() == [("issued", "approved"), ("approved", "approved")]
    await engine.decide(request_id=event_id)
    await engine.until(refunds_in_ledger, [("issued", "approved")] * 2)


async def test_a_run_cancelled_while_the_reviewer_is_being_told_leaves_no_refund_open_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that runs is let finish: it opens the refund after the run's refunds were closed."""
    original = ledger.open_requests

    async def cancelled_first(*arguments: Any) -> None:
        await engine.cancel_all()
        await engine.until(actions, {"message_received": 1, "run_failed": 1})
        await original(*arguments)

    monkeypatch.setattr(ledger, "open_requests", cancelled_first)
    await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.advance(minutes=6)
    assert await refunds_in_ledger() == [("pending", None)]
    await rewrite("update refunds set expires_at = now() - interval '25 hours' returning id")
    await engine.advance(minutes=6)
    assert await refunds_in_ledger() == [("blocked", "expired")]
    assert await actions() == {"message_received": 1, "run_failed": 1, "refund_blocked": 1}


async def test_a_blocked_refund_tells_the_same_reason_when_it_is_asked_for_again(database: None) -> None:
    """The process died between the ledger's no and the end of the step: the step is told what happened, not less."""
    answers: list[dict[str, Any]] = []
    for run_id in ("first", "second", "second"):
        await asked(run_id)
        if run_id not in {answer["run"] for answer in answers}:
            await approve_unseen(run_id)
        answer = await payments.issue(run_id, "call", "cust_002", "A-1001", 4900, "Duplicate charge")
        answers.append({"run": run_id, **answer})
    assert "was paid meanwhile" in answers[1]["why"]
    assert answers[2] == answers[1]


async def test_a_decision_before_the_row_exists_is_refused_and_recorded(engine: Engine) -> None:
    assert await decide(1, approved=True, by="grace") == "there is no such refund"
    await paused(engine)
    assert await refunds_in_ledger() == [("pending", None)]
    assert await history("decision refused") == [
        {"refund_id": None, "actor": "grace", "why": "there is no such refund"}
    ]


async def test_a_decision_after_the_payment_is_told_whose_decision_stands(engine: Engine) -> None:
    event_id = await paused(engine)
    assert await decide(1, approved=True, by="grace") is None
    await engine.decide(request_id=event_id)
    await engine.until(actions, ISSUED)
    assert await decide(1, approved=False, by="linus") == "it was already approved by grace"
    await engine.decide(approved=False, request_id=event_id)
    await engine.settle()
    assert (await refunds_in_ledger(), await actions()) == ([("issued", "approved")], ISSUED)


@pytest.mark.parametrize("times", [2, 10])
async def test_yes_and_no_from_many_people_at_once_are_one_decision(database: None, times: int) -> None:
    refund_id = await asked()
    refusals = await asyncio.gather(
        *(decide(refund_id, approved=number % 2 == 0, by=f"person {number}") for number in range(times))
    )
    assert refusals.count(None) == 1
    winner = refusals.index(None)
    decision = "approved" if winner % 2 == 0 else "rejected"
    assert {refusal for refusal in refusals if refusal} == {f"it was already {decision} by person {winner}"}
    assert len(await history("decision refused")) == times - 1
    assert await refunds_in_ledger() == [(decision, decision)]


async def test_one_decision_delivered_ten_times_at_once_is_recorded_once(database: None) -> None:
    refund_id = await asked()
    refusals = await asyncio.gather(*(decide(refund_id, approved=True, by="grace", key="k") for _ in range(10)))
    assert refusals == [None] * 10
    assert len(await history("approved")) == 1


async def test_a_decision_and_the_expiry_at_the_same_instant_are_one_outcome(database: None) -> None:
    """Two connections, again and again: whoever is first, the other is told."""
    outcomes = set()
    for number in range(30):
        run_id = f"run-{number}"
        refund_id = await asked(run_id, f"A-{number}")
        expiry, decision = ledger.expire(run_id, overdue_only=False), decide(refund_id, approved=True, by="grace")
        first, second = (expiry, decision) if number % 2 else (decision, expiry)
        # The first two one after the other: on a busy machine one side can win all the races.
        answers = await asyncio.gather(first, second) if number > 1 else [await first, await second]
        refusal = next((each for each in answers if each is not None), None)
        (row,) = await ledger.of_run(run_id)
        assert (row["status"], refusal) in [("approved", None), ("expired", "it was already expired by nobody")]
        outcomes.add(row["status"])
    assert outcomes == {"approved", "expired"}


async def test_a_decision_is_in_time_by_the_databases_clock_alone(database: None) -> None:
    """Deadlines from this instant to a fifth of a second later: a decision that stands came before its own."""
    in_time, late = 0, 0
    for number in range(40):
        refund_id = await asked(f"run-{number}", f"A-{number}")
        await rewrite(
            "update refunds set expires_at = now() + interval '1 ms' * $2::int where id = $1 returning id",
            refund_id,
            number * 5,
        )
        refusal = await decide(refund_id, approved=True, by="grace")
        (row,) = await ledger.of_run(f"run-{number}")
        if refusal is None:
            in_time += 1
            assert row["decided_at"] < row["expires_at"]
        else:
            late += 1
            assert (refusal, row["status"]) == ("the time for a decision is up", "pending")
    assert in_time
    assert late


async def test_a_decision_between_two_waits_is_applied_within_a_minute(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk's wake-up comes when the run has read that nothing was decided, and does not wait yet."""
    await decided_between_two_waits(engine, monkeypatch, refund_id=1)
    await engine.advance(seconds=21)
    await engine.settle()
    assert (await refunds_in_ledger(), await actions()) == ([("issued", "approved")], ISSUED)


async def test_a_decision_that_was_heard_of_is_not_sent_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    original = wake_ups.is_acted_on

    async def remembered(refund_id: Any) -> bool:
        found.append(await original(refund_id))
        return found[-1]

    monkeypatch.setattr(wake_ups, "is_acted_on", remembered)
    event_id = await paused(engine)
    assert await decide(1, approved=True, by="grace") is None
    await engine.decide(request_id=event_id, refund_id=1)
    await engine.settle()
    await engine.advance(seconds=21)
    await engine.settle()
    assert (await refunds_in_ledger(), await actions()) == ([("issued", "approved")], ISSUED)
    assert found == [True]
