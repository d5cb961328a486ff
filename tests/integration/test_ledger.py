"""The refund ledger on a real Postgres: money moves once, after a recorded yes, and never otherwise.

Runs without any account. What counts is the rows: `issued` in the ledger, `refund_issued` in the audit trail.
"""

import asyncio
import json
import multiprocessing
import os
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import db
from refunds import ledger, payments
from tests.ledger import approve_unseen, decide, rewrite, shown

pytestmark = pytest.mark.usefixtures("database")
REASON = "Duplicate charge"


def wanted(call_id: str = "call-1", order_id: str = "A-1001", amount_cents: int = 4900) -> dict[str, Any]:
    return {"call_id": call_id, "order_id": order_id, "amount_cents": amount_cents, "reason": REASON}


async def asked(run_id: str = "run-1", *refunds_asked: dict[str, Any], customer_id: str = "cust_001") -> list[int]:
    """Open the requests of a run (one for A-1001 unless told otherwise); the ids of its rows."""
    await ledger.open_requests(run_id, f"event-of-{run_id}", customer_id, list(refunds_asked) or [wanted()])
    return [row["id"] for row in await ledger.of_run(run_id)]


async def approved(run_id: str = "run-1", *refunds_asked: dict[str, Any], **decision: Any) -> list[int]:
    ids = await asked(run_id, *refunds_asked)
    for refund_id in ids:
        assert await decide(refund_id, approved=True, by="grace", **decision) is None
    return ids


async def issue(run_id: str = "run-1", **changed: Any) -> dict[str, Any]:
    given_ = wanted() | {"customer_id": "cust_001"} | changed
    return await payments.issue(run_id, **given_)


async def column(what: str = "status", run_id: str = "run-1") -> list[Any]:
    return [row[what] for row in await ledger.of_run(run_id)]


async def audited(action: str) -> list[dict[str, Any]]:
    return await db.fetch("select run_id, customer_id, detail from audit_log where action = $1 order by id", action)


async def paid() -> tuple[int, int]:
    """How often money moved: according to the ledger, according to the audit trail."""
    issued = await db.fetch("select from refunds where status = 'issued'")
    return len(issued), len(await audited("refund_issued"))


# A request


async def test_a_request_is_a_pending_row_with_four_hours_and_a_digest_of_what_was_asked() -> None:
    await asked()
    [row] = await ledger.of_run("run-1")
    assert (row["status"], row["request_id"], row["customer_id"]) == ("pending", "event-of-run-1", "cust_001")
    assert (row["order_id"], row["amount_cents"], row["reason"]) == ("A-1001", 4900, REASON)
    assert row["digest"] == ledger.digest("cust_001", "A-1001", 4900, REASON)
    assert 4 * 3600 - 10 < row["seconds_left"] <= 4 * 3600
    assert await paid() == (0, 0)


async def test_asking_again_changes_no_row_and_not_even_the_time_it_has_left() -> None:
    await asked()
    [before] = await db.fetch("select * from refunds")
    await asked("run-1", wanted(amount_cents=1))
    assert await db.fetch("select * from refunds") == [before]


async def test_one_email_can_hold_several_and_each_is_decided_by_itself() -> None:
    first, second, third = await asked("run-1", *(wanted(f"call-{n}", f"A-{n}", n * 100) for n in (1, 2, 3)))
    assert await decide(first, approved=True, by="grace") is None
    assert await decide(second, approved=False, by="grace", note="only one charge found") is None
    assert await column() == ["approved", "rejected", "pending"]
    assert await column("decision_note") == ["", "only one charge found", None]
    assert await decide(third, approved=True, by="alan") is None
    assert await column("decided_by") == ["grace", "grace", "alan"]


@given(st.text(), st.text(), st.integers(1, 10**9), st.text(), st.integers(0, 3))
def test_another_customer_order_amount_or_reason_is_another_digest(
    customer: str, order: str, cents: int, reason: str, changed: int
) -> None:
    facts: list[Any] = [customer, order, cents, reason]
    assert ledger.digest(*facts) == ledger.digest(*facts)
    other = facts.copy()
    other[changed] = other[changed] + 1 if changed == 2 else other[changed] + "x"
    assert ledger.digest(*facts) != ledger.digest(*other)


def test_what_moves_from_one_field_to_the_next_changes_the_digest() -> None:
    assert ledger.digest("a", "bc", 1, "d") != ledger.digest("ab", "c", 1, "d")


# A decision


async def test_two_approvers_at_once_and_only_the_first_counts() -> None:
    [refund_id] = await asked()
    by = [f"reviewer-{n}" for n in range(8)]
    answers = await asyncio.gather(*(decide(refund_id, approved=n % 2 == 0, by=by[n]) for n in range(8)))
    assert answers.count(None) == 1
    first = answers.index(None)
    assert await column("decided_by") == [by[first]]
    told = f"it was already {'rejected' if first % 2 else 'approved'} by {by[first]}"
    assert sorted(map(str, answers)) == ["None"] + [told] * 7


async def test_a_decision_stands_and_a_second_one_is_refused() -> None:
    [refund_id] = await approved()
    for again in ({"approved": False}, {"approved": True, "amount_cents": 1}):
        assert await decide(refund_id, by="alan", **again) == "it was already approved by grace"
    assert (await column(), await column("approved_cents"), await column("decided_by")) == (
        ["approved"],
        [4900],
        ["grace"],
    )


async def test_the_same_decision_delivered_again_decides_no_second_refund() -> None:
    first, second = await asked("run-1", wanted("call-1", "A-1"), wanted("call-2", "A-2"))
    for _ in range(3):
        assert await decide(first, approved=True, by="grace", key="event-9") is None
    assert await decide(first, approved=False, by="grace", key="event-9") == "it was already approved by grace"
    used = "this decision was already used for another refund"
    assert await decide(second, approved=True, by="grace", key="event-9") == used
    assert await column() == ["approved", "pending"]


@pytest.mark.parametrize("other", [{"amount_cents": 1}, {"amount_cents": 4899}, {"note": "only half of it"}])
async def test_another_amount_or_note_under_the_same_key_is_not_said_to_stand(other: dict[str, Any]) -> None:
    [refund_id] = await asked("run-1")
    yes = partial(decide, refund_id, approved=True, by="grace", key="event-9")
    assert await yes() is None
    assert await yes(**other) == "it was already approved by grace"
    assert await yes(amount_cents=4900) is None
    assert await column("approved_cents") == [4900]


async def test_the_same_decision_delivered_ten_times_at_once_decides_one_refund() -> None:
    ids = await asked("run-1", *(wanted(f"call-{n}", f"A-{n}") for n in range(50)))
    await asyncio.gather(*(db.fetch("select pg_sleep(0.05)") for _ in range(10)))  # Connected before the race begins.
    for key in range(5):
        ten = [decide(one, approved=True, by="grace", key=f"event-{key}") for one in ids[key::5]]
        answers = await asyncio.gather(*ten)
        assert sorted(map(str, answers)) == ["None"] + ["this decision was already used for another refund"] * 9
    assert (await column()).count("approved") == 5


@pytest.mark.parametrize("amount", [4901, 0, -1, -4900, 2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("yes", [True, False])
async def test_an_amount_above_the_one_asked_for_or_below_one_cent_is_no_decision(amount: int, yes: bool) -> None:
    [refund_id] = await asked()
    refusal = "the amount must be above 0 and at most 4900 cents"
    assert await decide(refund_id, approved=yes, by="grace", amount_cents=amount) == refusal
    assert await column() == ["pending"]


async def test_an_approver_can_lower_the_amount_and_the_lower_one_is_paid() -> None:
    await approved("run-1", amount_cents=3000)
    assert await issue() == {"status": "issued", "order_id": "A-1001", "amount_cents": 3000}
    assert await column("approved_cents") == [3000]
    [row] = await audited("refund_issued")
    assert json.loads(row["detail"])["amount_cents"] == 3000


async def test_a_large_refund_needs_two_different_reviewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_APPROVER_CENTS", "5000")
    small, large, other = await asked("run-1", wanted(), wanted("call-2", "B-2", 5000), wanted("call-3", "C-3", 9000))
    unseen = await shown(large)
    for refund_id in (small, large):
        assert await decide(refund_id, approved=True, by="grace", note="fine", key=f"first-{refund_id}") is None
    assert await column() == ["approved", "pending", "pending"]
    assert (await issue(**wanted("call-2", "B-2", 5000)))["why"] == "this refund has not been approved"
    # Delivered again it still stands, and Grace alone does not become two.
    assert await decide(large, approved=True, by="grace", note="fine", key=f"first-{large}") is None
    alone = "you have approved it already, and another reviewer has to approve it too"
    assert await decide(large, approved=True, by="grace") == alone
    used = "this decision was already used for another refund"
    assert await decide(other, approved=True, by="alan", key=f"first-{large}") == used
    late = await ledger.decide(large, unseen, ledger.Decision(True, "alan", "unseen"))
    assert str(late).startswith("it is not what was shown")
    assert await decide(large, approved=True, by="alan", amount_cents=4000) is None
    assert (await issue(**wanted("call-2", "B-2", 5000)))["amount_cents"] == 4000
    # The first yes was given before this payment was made, and the second one may not raise what the first approved.
    assert await decide(other, approved=True, by="grace", amount_cents=8000) is None
    assert await decide(other, approved=True, by="alan", amount_cents=8001) == (
        "the amount must be above 0 and at most 8000 cents"
    )
    await issue()
    assert await decide(other, approved=True, by="alan") is None
    assert (await column())[2] == "pending"
    assert await decide(other, approved=False, by="alan", note="no") is None
    assert await column() == ["issued", "issued", "rejected"]
    with pytest.raises(asyncpg.CheckViolationError, match="an approval is final"):
        await db.fetch("update first_approvals set decided_by = 'alan'")


async def test_two_first_approvals_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_APPROVER_CENTS", "1")
    [refund_id] = await asked()
    yes = partial(ledger.decide, refund_id, await shown(refund_id))
    answers = await asyncio.gather(*(yes(ledger.Decision(True, f"reviewer-{n}", f"key-{n}")) for n in range(4)))
    assert answers.count(None) == 1
    assert await column() == ["pending"]


async def test_a_decision_after_its_time_is_refused() -> None:
    [refund_id] = await asked()
    await rewrite("update refunds set expires_at = now() - interval '1 second'")
    for approved_ in (True, False):
        assert await decide(refund_id, approved=approved_, by="grace") == "the time for a decision is up"
    assert await column() == ["pending"]


async def test_a_decision_on_a_refund_that_does_not_exist_is_refused() -> None:
    assert await decide(999, approved=True, by="grace") == "there is no such refund"


async def test_where_nothing_was_shown_the_oldest_pending_refund_of_the_request_or_customer_is_decided() -> None:
    await asked("run-1")
    await asked("run-2", wanted("call-1", "A-2"), wanted("call-2", "A-3"))

    async def no(request_id: object, customer_id: object) -> list[Any]:
        decision = ledger.Decision(False, "dev-mode event", key=str(uuid4()))
        # Delivered again, as after a lost connection, it stands, and is no decision on the next one.
        for _ in range(2):
            assert await ledger.decide_oldest(request_id, customer_id, decision) is None
        return [row["status"] for row in await db.fetch("select status from refunds order by id")]

    assert await no(None, "cust_001") == ["rejected", "pending", "pending"]
    assert await no("event-of-run-2", "cust_002") == ["rejected", "rejected", "pending"]
    for nobodys in [("event-of-run-1", "cust_001"), (None, "cust_002"), ("x", "cust_001"), (None, None)]:
        assert (await no(*nobodys))[2] == "pending"
    assert await no(None, "cust_001") == ["rejected", "rejected", "rejected"]


async def test_what_nobody_decided_expires_and_a_decision_made_before_stands() -> None:
    first, _, third = await asked("run-1", *(wanted(f"call-{n}", f"A-{n}") for n in (1, 2, 3)))
    await asked("run-2", wanted("call-1", "A-4"))
    await decide(first, approved=True, by="grace")
    await ledger.expire("run-1", overdue_only=True)
    assert await column() == ["approved", "pending", "pending"]
    await rewrite("update refunds set expires_at = now() where id = $1", third)
    await ledger.expire("run-1", overdue_only=True)
    assert await column() == ["approved", "pending", "expired"]
    await ledger.expire("run-1", overdue_only=False)
    assert await column() == ["approved", "expired", "expired"]
    assert await column("decided_by") == ["grace", "nobody", "nobody"]
    assert await column(run_id="run-2") == ["pending"]


# The money


async def test_an_approved_refund_is_paid_with_one_audit_row_that_says_who_approved() -> None:
    [refund_id] = await approved()
    assert await issue() == {"status": "issued", "order_id": "A-1001", "amount_cents": 4900}
    assert await paid() == (1, 1)
    [row] = await audited("refund_issued")
    assert (row["run_id"], row["customer_id"]) == ("run-1", "cust_001")
    detail = json.loads(row["detail"])
    assert detail.pop("reference").startswith("ledger:")
    assert detail == {
        "refund_id": refund_id,
        "order_id": "A-1001",
        "amount_cents": 4900,
        "approved_by": "grace",
        "also_paid": [],
    }


async def test_issued_again_it_pays_nothing_and_says_the_same() -> None:
    await approved()
    first = await issue()
    assert [await issue() for _ in range(3)] == [first] * 3
    assert await paid() == (1, 1)


async def test_issued_ten_times_at_once_it_pays_once() -> None:
    await approved()
    assert await asyncio.gather(*(issue() for _ in range(10))) == [await issue()] * 10
    assert await paid() == (1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"order_id": "A-1002"},
        {"amount_cents": 4901},
        {"amount_cents": 4899},
        {"amount_cents": 490000},
        {"reason": "Duplicate charge!"},
        {"customer_id": "cust_002"},
    ],
)
async def test_a_refund_that_differs_from_the_approved_one_is_blocked_for_good(changed: dict[str, Any]) -> None:
    await approved()
    assert (await issue(**changed))["status"] == "blocked"
    assert (await issue())["status"] == "blocked"
    assert await paid() == (0, 0)
    assert await column() == ["blocked"]
    assert await column("outcome") == ["the refund differs from the one that was approved"]
    assert len(await audited("refund_blocked")) == 1


@pytest.mark.parametrize("told", [{"call_id": "call-2"}, {"run_id": "run-2"}, {"call_id": ""}])
async def test_without_a_row_nothing_is_paid(told: dict[str, Any]) -> None:
    await approved()
    assert (await issue(**told))["status"] == "blocked"
    assert await paid() == (0, 0)
    assert await column() == ["approved"]


async def nothing(refund_id: int) -> None:
    """Leave it pending."""


async def reject(refund_id: int) -> None:
    assert await decide(refund_id, approved=False, by="grace") is None


async def let_expire(refund_id: int) -> None:
    await ledger.expire("run-1", overdue_only=False)


async def give_up(refund_id: int) -> None:
    await ledger.block_the_rest("run-1", "the run failed", pending=True)


@pytest.mark.parametrize("happens", [nothing, reject, let_expire, give_up])
async def test_without_a_yes_nothing_is_paid_and_the_row_stays(happens: Callable[[int], Awaitable[None]]) -> None:
    [refund_id] = await asked()
    await happens(refund_id)
    before = await column()
    assert (await issue())["status"] == "blocked"
    assert await paid() == (0, 0)
    assert await column() == before


async def test_an_approval_given_in_time_is_paid_after_its_time() -> None:
    await approved()
    await rewrite("update refunds set expires_at = now() - interval '1 hour'")
    assert (await issue())["status"] == "issued"


AGAIN = "it looks like refund 1 of $49.00 for order A-1001, approved "


@pytest.mark.parametrize("spelling", ["A-1001", "#1001", "Order ID: a 01001", "A-1OO1", "A-1001 (second charge)"])
@pytest.mark.parametrize("paid_already", [True, False])
async def test_an_order_that_looks_like_an_approved_one_needs_a_decision_that_says_so(
    spelling: str, paid_already: bool
) -> None:
    await approved("run-1")
    if paid_already:
        await issue("run-1")
    [second] = await asked("run-2", wanted(order_id=spelling))
    refusal = await decide(second, approved=True, by="alan")
    assert refusal is not None
    assert refusal.startswith(AGAIN)
    assert refusal.endswith("by grace: say that it is to be paid as well")
    assert await column(run_id="run-2") == ["pending"]
    assert await decide(second, approved=True, by="alan", also_paid=True) is None
    assert await column("also_paid", "run-2") == [[1]]
    for run_id, order_id in [("run-2", spelling), ("run-1", "A-1001")]:
        assert (await issue(run_id, order_id=order_id))["status"] == "issued"
    assert await paid() == (2, 2)


async def test_a_rejection_of_a_similar_order_needs_nothing_more() -> None:
    await approved("run-1")
    [second] = await asked("run-2")
    assert await decide(second, approved=False, by="alan") is None


async def test_what_was_not_paid_in_the_end_is_no_earlier_payment() -> None:
    [first] = await asked("run-1")
    await decide(first, approved=False, by="grace")
    await approved("run-2")
    await ledger.block_the_rest("run-2", "not carried out")
    await approved("run-3")
    assert (await issue("run-3"))["status"] == "issued"


async def test_a_decision_on_what_was_shown_before_another_refund_was_paid_is_refused() -> None:
    [waits] = await asked("run-1", wanted(order_id="B-7"))
    before = await shown(waits)
    await approved("run-2")
    assert await shown(waits) == before
    await issue("run-2")
    late = await ledger.decide(waits, before, ledger.Decision(True, "alan", "late"))
    assert late == "it is not what was shown: the form was for another refund, or another one was paid meanwhile"
    assert await decide(waits, approved=True, by="alan") is None


async def test_eight_approvals_at_once_for_one_order_pay_it_once() -> None:
    ids = [(await asked(f"run-{n}"))[0] for n in range(8)]
    seen = [await shown(refund_id) for refund_id in ids]
    decisions = [ledger.Decision(True, "grace", key=str(refund_id)) for refund_id in ids]
    answers = await asyncio.gather(*map(ledger.decide, ids, seen, decisions))
    assert answers.count(None) == 1
    results = await asyncio.gather(*(issue(f"run-{n}") for n in range(8)))
    assert sorted(result["status"] for result in results) == ["blocked"] * 7 + ["issued"]
    assert await paid() == (1, 1)


async def test_what_was_paid_since_the_approval_and_looks_the_same_blocks_the_payment() -> None:
    for run_id in ("run-1", "run-2"):
        await asked(run_id)
        await approve_unseen(run_id)
    assert (await issue("run-1"))["status"] == "issued"
    told = await issue("run-2")
    assert told["status"] == "blocked"
    assert re.fullmatch(
        r"refund 1 of \$49\.00 for order A-1001, approved .* by grace, was paid meanwhile and looks the same",
        told["why"],
    )
    assert await paid() == (1, 1)
    assert len(await audited("refund_blocked")) == 1


def issue_from_another_process(url: str, run_id: str) -> str:
    os.environ["DATABASE_URL"] = url

    async def once() -> str:
        await db.fetch("select 1")
        result = await issue(run_id)
        await db.close()
        return str(result["status"])

    return asyncio.run(once())


async def test_processes_at_once_for_one_order_and_one_is_paid() -> None:
    runs = [f"run-{n}" for n in range(4)]
    for run_id in runs:
        await asked(run_id)
        await approve_unseen(run_id)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        urls = [os.environ["DATABASE_URL"]] * len(runs)
        results = await asyncio.to_thread(lambda: list(processes.map(issue_from_another_process, urls, runs)))
    assert sorted(results) == ["blocked"] * 3 + ["issued"]
    assert await paid() == (1, 1)
    assert len(await audited("refund_blocked")) == 3


@pytest.mark.parametrize(
    ("order", "other"), [("A-7001/2", "A-70012"), ("заказ-альфа", "заказ-бета"), ("注文甲", "注文乙")]
)
async def test_two_orders_never_stand_in_each_others_way(order: str, other: str) -> None:
    await approved("run-1", wanted("call-1", order))
    await issue("run-1", order_id=order)
    await approved("run-2", wanted("call-1", other))
    assert (await issue("run-2", order_id=other))["status"] == "issued"


async def test_other_orders_and_other_customers_are_paid_for_themselves() -> None:
    await approved("run-1", wanted("call-1", "A-1"), wanted("call-2", "A-2"))
    await asked("run-2", wanted("call-1", "A-1"), customer_id="cust_002")
    [row] = await ledger.of_run("run-2")
    assert await decide(row["id"], approved=True, by="grace") is None
    await issue("run-1", call_id="call-1", order_id="A-1")
    await issue("run-1", call_id="call-2", order_id="A-2")
    await issue("run-2", customer_id="cust_002", order_id="A-1")
    assert await paid() == (3, 3)


async def test_the_ledger_and_the_audit_row_are_written_together_or_not_at_all() -> None:
    await approved()
    await db.fetch("alter table audit_log add constraint refuses check (action <> 'refund_issued') not valid")
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await issue()
    finally:
        await db.fetch("alter table audit_log drop constraint refuses")
    assert await paid() == (0, 0)
    assert await column() == ["approved"]
    await issue()
    assert await paid() == (1, 1)


# What did not end in money


async def test_what_was_decided_and_not_paid_is_closed_with_one_audit_row_each_however_often() -> None:
    yes, no, _, unpaid = await asked("run-1", *(wanted(f"call-{n}", f"A-{n}") for n in (1, 2, 3, 4)))
    await decide(yes, approved=True, by="grace")
    await decide(no, approved=False, by="grace", note="only one charge found")
    await decide(unpaid, approved=True, by="grace")
    await issue(call_id="call-1", order_id="A-1")
    for _ in range(3):
        await ledger.block_the_rest("run-1", "the agent did not carry it out")
    assert await column() == ["issued", "blocked", "pending", "blocked"]
    [reference, *others] = await column("outcome")
    assert reference.startswith("ledger:")
    assert others == ["only one charge found", None, "the agent did not carry it out"]
    assert await column("decision") == ["approved", "rejected", None, "approved"]
    assert len(await audited("refund_blocked")) == 2
    assert await paid() == (1, 1)


async def test_a_run_that_failed_closes_its_undecided_refunds_too_and_no_other_runs() -> None:
    await asked("run-1", wanted("call-1", "A-1"), wanted("call-2", "A-2"))
    await asked("run-2")
    for _ in range(2):
        await ledger.block_the_rest("run-1", "the run failed", pending=True)
    assert await column("outcome") == ["the run failed"] * 2
    assert await column(run_id="run-2") == ["pending"]
    assert len(await audited("refund_blocked")) == 2


async def test_a_yes_that_comes_after_the_run_failed_is_refused() -> None:
    [refund_id] = await asked()
    await ledger.block_the_rest("run-1", "the run failed", pending=True)
    assert await decide(refund_id, approved=True, by="grace") == "it is blocked: the run failed"
    assert (await issue())["status"] == "blocked"
    assert await paid() == (0, 0)


async def test_an_expired_refund_says_so() -> None:
    await asked()
    await ledger.expire("run-1", overdue_only=False)
    await ledger.block_the_rest("run-1", "not this")
    assert await column("outcome") == ["nobody decided in time"]
    assert await column("decision") == ["expired"]


async def test_a_decision_not_acted_on_for_a_minute_is_found_until_its_run_acts() -> None:
    first, second = await asked("run-1", wanted("call-1", "A-1"), wanted("call-2", "A-2"))
    await decide(first, approved=True, by="grace")
    assert await ledger.decided_but_not_applied() == []
    await rewrite("update refunds set decided_at = now() - interval '61 seconds' where id = $1", first)
    assert await ledger.decided_but_not_applied() == [
        {"id": first, "request_id": "event-of-run-1", "decision": "approved"}
    ]
    await issue(call_id="call-1", order_id="A-1")
    assert await ledger.decided_but_not_applied() == []
    assert await decide(second, approved=False, by="grace") is None


async def test_a_payment_that_was_begun_and_a_decision_of_yesterday_need_no_wake_up() -> None:
    """The first is finished without its run, the second is given up."""
    begun, old = await asked("run-1", wanted("call-1", "A-1"), wanted("call-2", "A-2"))
    for refund_id in (begun, old):
        await decide(refund_id, approved=True, by="grace")
    await rewrite("update refunds set decided_at = now() - interval '2 minutes'")
    assert [row["id"] for row in await ledger.decided_but_not_applied()] == [begun, old]
    await db.fetch("update refunds set payment_started_at = now() where id = $1", begun)
    await rewrite("update refunds set decided_at = now() - interval '25 hours' where id = $1", old)
    assert await ledger.decided_but_not_applied() == []


async def test_a_customers_history_is_what_was_really_paid_and_what_waits() -> None:
    await approved("run-1", wanted("call-1", "A-1"), amount_cents=100)
    await issue(order_id="A-1")
    await asked("run-2", wanted("call-1", "A-2"))
    await asked("run-3", customer_id="cust_002")
    assert await ledger.account("cust_001") == {
        "id": "cust_001",
        "email": "ada@example.com",
        "tier": "enterprise",
        "refunds": [
            {"order_id": "A-2", "amount_cents": 4900, "status": "pending"},
            {"order_id": "A-1", "amount_cents": 100, "status": "issued"},
        ],
    }
    assert (await ledger.account("cust_003") or {})["refunds"] == []
    assert await ledger.account("cust_404") is None


# What the database itself refuses, whoever asks


ILLEGAL = [
    "status = 'issued', settled_at = now()",
    "status = 'issued', settled_at = now(), decision = 'rejected', decided_at = now(), decided_by = 'x'",
    "status = 'issued', settled_at = now(), decision = 'expired', decided_at = now(), decided_by = 'x'",
    "status = 'issued', decision = 'approved', decided_at = now(), decided_by = 'x', approved_cents = 1",
    "status = 'approved'",
    "status = 'approved', decision = 'approved', decided_at = now(), decided_by = 'x'",
    "status = 'approved', decision = 'approved', decided_at = now(), approved_cents = 1",
    "status = 'approved', decision = 'approved', decided_by = 'x', approved_cents = 1",
    "status = 'approved', decision = 'approved', decided_at = now(), decided_by = 'x', approved_cents = 4901",
    "status = 'approved', decision = 'approved', decided_at = now(), decided_by = 'x', approved_cents = 0",
    "status = 'approved', decision = 'rejected', decided_at = now(), decided_by = 'x'",
    "status = 'rejected', decision = 'rejected', decided_at = now(), decided_by = 'x', approved_cents = 1",
    "decision = 'approved', decided_at = now(), decided_by = 'x', approved_cents = 1",
    "settled_at = now()",
    "status = 'paid'",
    "amount_cents = 0",
    "amount_cents = -4900",
]


async def test_an_illegal_row_is_refused_by_the_database() -> None:
    await asked()
    for illegal in ILLEGAL:
        with pytest.raises(asyncpg.CheckViolationError):
            await db.fetch(f"update refunds set {illegal}")  # noqa: S608
    assert await column() == ["pending"]


async def test_the_database_pays_one_order_twice_only_where_the_decision_says_so() -> None:
    for run_id in ("run-1", "run-2"):
        await asked(run_id)
        await approve_unseen(run_id)
    begin = "update refunds set payment_started_at = now() where run_id = $1"
    await db.fetch(begin, "run-1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.fetch(begin, "run-2")
