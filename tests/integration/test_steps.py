"""The steps without an engine: which failures are tried again, and what a wake-up can and cannot decide.

Runs without any account. What the functions make of the steps is tested in `tests/durable/`.
"""

from datetime import timedelta
from typing import Any

import agents
import httpx2 as httpx
import inngest
import openai
import pytest

import db
import inngest_app
import worker
from refunds import ledger
from steps import approval, failures, health_check
from steps.retries import retry_model
from tests.ledger import rewrite

pytestmark = pytest.mark.usefixtures("database")
DUPLICATE = "I was charged twice for order A-1001, $49.00."
TICKET = worker.Ticket(customer_id="cust_002", run_id="run-1")
ASKED = [{"call_id": "call-1"}, {"call_id": "call-2"}]


def email(event_id: str = "event-1", **data: Any) -> inngest.Event:
    return inngest.Event(name="customer/email.received", id=event_id, data=data)


def decided(event_id: str = "decision-1", **data: Any) -> inngest.Event:
    return inngest.Event(name="refund/approval.decided", id=event_id, data=data)


async def audited(action: str | None = None) -> list[dict[str, Any]]:
    return await db.fetch(
        "select action, run_id, customer_id, detail from audit_log where $1::text is null or action = $1 order by id",
        action,
    )


# D1: the audit trail


async def test_an_email_received_twice_by_the_same_step_is_one_row() -> None:
    for _ in range(2):
        await inngest_app.audit_received(email(customer_id="cust_002", email_text=DUPLICATE), "run-1")
    [row] = await audited()
    assert (row["action"], row["run_id"], row["customer_id"]) == ("message_received", "run-1", "cust_002")
    assert DUPLICATE in row["detail"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"customer_id": "cust_002"},
        {"email_text": DUPLICATE},
        {"customer_id": "cust_002", "email_text": ""},
        {"customer_id": "cust_002", "email_text": " \n\t"},
        {"customer_id": "cust_002", "email_text": 7},
        {"customer_id": "cust_002", "email_text": [DUPLICATE]},
        {"customer_id": "cust_002", "email_text": "x" * 100_001},
        {"customer_id": None, "email_text": DUPLICATE},
        {"customer_id": 2, "email_text": DUPLICATE},
        {"customer_id": ["cust_002"], "email_text": DUPLICATE},
        {"customer_id": "", "email_text": DUPLICATE},
        {"customer_id": "cust_999", "email_text": DUPLICATE},
        {"customer_id": "cust_002\0", "email_text": DUPLICATE},
        {"customer_id": "O'Brien", "email_text": DUPLICATE},
    ],
)
async def test_an_email_that_can_never_be_answered_is_not_tried_again(data: dict[str, Any]) -> None:
    with pytest.raises(inngest.NonRetriableError):
        await inngest_app.audit_received(email(**data), "run-1")
    assert await audited() == []


async def test_a_database_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    await db.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/away")
    data = {"customer_id": "cust_002", "email_text": DUPLICATE}
    with pytest.raises(ConnectionRefusedError):
        await inngest_app.audit_received(email(**data), "run-1")
    with pytest.raises(agents.UserError) as raised:
        await inngest_app.run_agent(DUPLICATE, TICKET)
    assert not isinstance(raised.value, inngest.NonRetriableError)
    await db.close()


@pytest.mark.parametrize(
    "data", [{"customer_id": "cust_002", "email_text": DUPLICATE}, {"customer_id": 7, "email_text": None}, {}]
)
async def test_a_run_that_failed_leaves_a_row_and_no_open_refund(data: dict[str, Any]) -> None:
    asked = [{"call_id": "call-1", "order_id": "A-1001", "amount_cents": 4900, "reason": "Duplicate charge"}]
    await ledger.open_requests("run-1", "event-1", "cust_002", asked)
    failed = {"run_id": "run-1", "event": {"id": "event-1", "data": data}, "error": {"message": "no use"}}
    for _ in range(2):
        await failures.audit_run_failed(failed)
    assert [row["action"] for row in await audited()] == ["refund_blocked", "run_failed"]
    [row] = await audited("run_failed")
    assert '"error": "no use"' in row["detail"]
    assert [row["status"] for row in await ledger.of_run("run-1")] == ["blocked"]


# D2: what is tried again, and when


def answered(status: int, **headers: str) -> httpx.Response:
    request = httpx.Request("POST", "https://model.invalid/v1/responses")
    return httpx.Response(
        status, headers={name.replace("_", "-"): value for name, value in headers.items()}, request=request
    )


def busy(**headers: str) -> openai.RateLimitError:
    return openai.RateLimitError("busy", response=answered(429, **headers), body=None)


def raised_by_a_tool(cause: Exception) -> agents.UserError:
    error = agents.UserError("Error running tool lookup_customer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        openai.BadRequestError("filtered", response=answered(400), body=None),
        agents.ModelRefusalError("no"),
        agents.MaxTurnsExceeded("12"),
        agents.UserError("Run state schema version 99.0 is not supported"),
    ],
)
async def test_what_will_be_the_same_next_time_is_not_tried_again(error: Exception) -> None:
    with pytest.raises(inngest.NonRetriableError, match=f"^{type(error).__name__}: ") as raised:
        async with retry_model():
            raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        openai.InternalServerError("oops", response=answered(500), body=None),
        openai.APIConnectionError(request=answered(503).request),
        openai.APITimeoutError(request=answered(503).request),
        agents.ModelBehaviorError("not JSON"),
        raised_by_a_tool(ConnectionRefusedError()),
        raised_by_a_tool(TimeoutError()),
        ConnectionResetError(),
        TimeoutError(),
        RuntimeError("asked 3 times"),
        busy(),
        busy(retry_after="soon"),
        busy(retry_after="-1"),
        busy(retry_after="Sat, 21 Nov 2026 01:00:00 GMT"),
    ],
)
async def test_anything_else_is_tried_again_at_the_engines_own_pace(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        async with retry_model():
            raise error
    assert raised.value is error


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0", 0), ("3600", 3600), ("999999999999", 3600)])
async def test_a_busy_model_is_tried_again_when_it_says(header: str, seconds: int) -> None:
    with pytest.raises(inngest.RetryAfterError) as raised:
        async with retry_model():
            raise busy(retry_after=header)
    expected = inngest.RetryAfterError("", timedelta(seconds=seconds)).retry_after
    assert abs(expected - raised.value.retry_after) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("rate-limited", inngest.RetryAfterError),
        ("bad-request", inngest.NonRetriableError),
        ("refuses", inngest.NonRetriableError),
        ("endless", inngest.NonRetriableError),
        ("server-error", openai.InternalServerError),
        ("outage", openai.APIConnectionError),
        ("negative", RuntimeError),
    ],
)
async def test_a_misbehaving_model_fails_the_step_as_fits(
    how: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", f"rule-based:{how}")
    with pytest.raises(error) as raised:
        await inngest_app.run_agent(DUPLICATE, TICKET)
    assert type(raised.value) is error


async def test_half_a_character_in_an_email_reaches_the_model_as_one_that_can_be_sent() -> None:
    outcome = await inngest_app.run_agent(f"{DUPLICATE} \ud83d!", TICKET)
    assert outcome["state"] is not None
    assert outcome["state"]["original_input"] == f"{DUPLICATE} \ufffd!"


async def test_a_refused_request_leaves_one_row_however_often_the_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "rule-based:bad-types")
    outcomes = [await inngest_app.run_agent(DUPLICATE, TICKET) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    [row] = await audited("refund_blocked")
    assert "order_id, amount_cents and reason are needed" in row["detail"]


# D3: the health check


async def test_pro_and_enterprise_customers_are_eligible() -> None:
    assert await health_check.load_eligible_customers() == ["cust_001", "cust_002", "cust_003"]


async def test_a_health_check_counts_the_last_seven_days_and_not_itself() -> None:
    await db.record("message_received", "run-1", "a", "cust_001")
    await db.record("message_received", "run-2", "a", "cust_001")
    await db.record("message_sent", "run-1", "b", "cust_001")
    await db.record("message_received", "run-3", "a", "cust_002")
    await db.record("message_received", "run-0", "a", "cust_001")
    await rewrite("update audit_log set created_at = now() - interval '8 days' where run_id = 'run-0' returning 1")
    event = inngest.Event(name="customer/health_check.requested", data={"customer_id": "cust_001"})
    for run_id in ("run-4", "run-4", "run-5"):
        await health_check.record_health_check(event, run_id)
    rows = await audited("health_check")
    assert [row["detail"] for row in rows] == ['{"last_7_days": {"message_sent": 1, "message_received": 2}}'] * 2


@pytest.mark.parametrize(
    "data", [{}, {"customer_id": "cust_999"}, {"customer_id": None}, {"customer_id": ["cust_001"]}]
)
async def test_a_health_check_of_a_stranger_is_not_tried_again(data: dict[str, Any]) -> None:
    event = inngest.Event(name="customer/health_check.requested", data=data)
    with pytest.raises(inngest.NonRetriableError):
        await health_check.record_health_check(event, "run-1")
    assert await audited() == []


# D5: the gate


@pytest.fixture
async def waiting(database: None) -> None:
    """Two refunds of cust_002 wait in run-1 and one of cust_001 in run-9."""
    two = [
        {"call_id": f"call-{n}", "order_id": f"A-{n}", "amount_cents": 4900, "reason": "Duplicate charge"}
        for n in (1, 2)
    ]
    await approval.notify_reviewer(TICKET, "event-1", two, 0)
    await approval.notify_reviewer(worker.Ticket(customer_id="cust_001", run_id="run-9"), "event-9", two[:1], 0)


async def statuses() -> list[str]:
    return [row["status"] for row in await db.fetch("select status from refunds order by id")]


async def test_notified_twice_there_is_one_row_for_each_refund(waiting: None) -> None:
    rows = await ledger.of_run("run-1")
    await approval.notify_reviewer(TICKET, "event-1", [{**row} for row in rows], 0)
    assert await statuses() == ["pending"] * 3


@pytest.mark.parametrize(
    "data", [{"customer_id": "cust_002"}, {"request_id": "event-1"}, {"request_id": None, "customer_id": "cust_002"}]
)
@pytest.mark.parametrize(("approved", "status"), [(True, "approved"), (False, "rejected")])
async def test_in_dev_mode_a_bare_event_decides_the_oldest_pending_refund_and_says_so(
    data: dict[str, Any], approved: bool, status: str, waiting: None
) -> None:
    verdict = await approval.read_decisions("run-1", ASKED, decided(**data, approved=approved), True)
    assert await statuses() == [status, "pending", "pending"]
    [row, _] = await ledger.of_run("run-1")
    assert row["decided_by"] == "dev-mode event"
    assert 4 * 3600 - 60 < verdict["seconds_left"] <= 4 * 3600
    assert [decision["status"] for decision in verdict["decisions"].values()] == [status, "pending"]


async def test_outside_dev_mode_an_event_decides_nothing(waiting: None) -> None:
    for data in ({"customer_id": "cust_002"}, {"request_id": "event-1"}):
        verdict = await approval.read_decisions("run-1", ASKED, decided(**data, approved=True), False)
        assert verdict["seconds_left"] > 0
    assert await statuses() == ["pending"] * 3


async def test_the_same_event_read_twice_decides_one_refund(waiting: None) -> None:
    for _ in range(3):
        await approval.read_decisions("run-1", ASKED, decided(customer_id="cust_002", approved=True), True)
    assert await statuses() == ["approved", "pending", "pending"]


async def test_a_second_event_decides_the_next_and_then_there_is_nothing_to_wait_for(waiting: None) -> None:
    await approval.read_decisions("run-1", ASKED, decided("decision-1", customer_id="cust_002", approved=True), True)
    no = decided("decision-2", customer_id="cust_002", approved=False, rejection_message="only one charge was found")
    verdict = await approval.read_decisions("run-1", ASKED, no, True)
    assert verdict["seconds_left"] == 0
    assert [decision["status"] for decision in verdict["decisions"].values()] == ["approved", "rejected"]
    assert verdict["decisions"]["call-2"]["why"] == "only one charge was found"


async def test_a_bare_yes_to_what_looks_like_an_approved_refund_is_refused_and_says_why(waiting: None) -> None:
    await approval.read_decisions("run-1", ASKED, decided(request_id="event-1", approved=True), True)
    asked = [{"call_id": "call-3", "order_id": "#1", "amount_cents": 4900, "reason": "Duplicate charge"}]
    await ledger.open_requests("run-3", "event-3", "cust_002", asked)
    yes = {"request_id": "event-3", "approved": True}
    verdict = await approval.read_decisions("run-3", asked, decided("decision-2", **yes), True)
    assert verdict["refused"].startswith("it looks like refund 1 of $")
    assert verdict["seconds_left"] > 0
    verdict = await approval.read_decisions("run-3", asked, decided("decision-3", **yes, also_paid=True), True)
    assert (verdict["refused"], verdict["seconds_left"]) == (None, 0)


@pytest.mark.parametrize("approved", ["true", "yes", 1, 0, None, [], [True], {"approved": True}, 1.0, ""])
async def test_anything_but_true_or_false_is_no_decision(approved: Any, waiting: None) -> None:
    for data in ({"customer_id": "cust_002"}, {"request_id": "event-1"}):
        await approval.read_decisions("run-1", ASKED, decided(**data, approved=approved), True)
    assert await statuses() == ["pending"] * 3


@pytest.mark.parametrize(
    "amount", [0, -1, 4901, 10**30, -(10**30), "12", "", True, 12.0, [12], {"cents": 12}, float("inf")]
)
@pytest.mark.parametrize("approved", [True, False])
async def test_an_amount_that_cannot_be_is_no_decision(amount: Any, approved: bool, waiting: None) -> None:
    event = decided(customer_id="cust_002", approved=approved, amount_cents=amount)
    await approval.read_decisions("run-1", ASKED, event, True)
    assert await statuses() == ["pending"] * 3


async def test_a_lower_amount_is_a_decision(waiting: None) -> None:
    event = decided(customer_id="cust_002", approved=True, amount_cents=100)
    await approval.read_decisions("run-1", ASKED, event, True)
    assert [row["approved_cents"] for row in await ledger.of_run("run-1")] == [100, None]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"request_id": "event-7"},
        {"request_id": "event-7", "customer_id": "cust_002"},
        {"request_id": "", "customer_id": "cust_002"},
        {"request_id": 0, "customer_id": "cust_002"},
        {"request_id": False, "customer_id": "cust_002"},
        {"request_id": ["event-1"]},
        {"request_id": {"$ne": None}},
        {"customer_id": "cust_005"},
        {"customer_id": ["cust_002"]},
        {"customer_id": {"id": "cust_002"}},
        {"customer_id": 2},
        {"customer_id": "cust_002' or true --"},
        {"customer_id": "%"},
        {"customer_id": "cust_002\0"},
        {"customer_id": "\ud800"},
    ],
)
async def test_an_event_that_names_nobody_who_waits_decides_nothing(data: dict[str, Any], waiting: None) -> None:
    await approval.read_decisions("run-1", ASKED, decided(**data, approved=True), True)
    assert await statuses() == ["pending"] * 3


@pytest.mark.parametrize("reason", [None, 7, ["a"], {"a": 1}, "\0", "\ud800", "x" * 100_000])
async def test_whatever_the_reason_is_the_decision_counts(reason: Any, waiting: None) -> None:
    event = decided(customer_id="cust_002", approved=False, rejection_message=reason)
    await approval.read_decisions("run-1", ASKED, event, True)
    assert await statuses() == ["rejected", "pending", "pending"]


async def test_when_the_time_is_up_what_is_pending_expires_and_what_was_decided_stands(waiting: None) -> None:
    await approval.read_decisions("run-1", ASKED, decided(customer_id="cust_002", approved=True), True)
    verdict = await approval.read_decisions("run-1", ASKED, None, True)
    assert verdict["seconds_left"] == 0
    assert await statuses() == ["approved", "expired", "pending"]


async def test_a_wake_up_after_its_time_expires_what_is_overdue_and_its_yes_comes_too_late(waiting: None) -> None:
    await rewrite("update refunds set expires_at = now() - interval '1 second' where run_id = 'run-1'")
    verdict = await approval.read_decisions("run-1", ASKED, decided(customer_id="cust_002", approved=True), True)
    assert verdict["seconds_left"] == 0
    assert await statuses() == ["expired", "expired", "pending"]


async def test_a_resumed_step_run_twice_pays_once_and_closes_what_the_agent_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome = await inngest_app.run_agent(DUPLICATE, TICKET)
    await approval.notify_reviewer(TICKET, "event-1", outcome["asked"], 0)
    left = [{"call_id": "call-x", "order_id": "X-1", "amount_cents": 100, "reason": "never called"}]
    await approval.notify_reviewer(TICKET, "event-1", left, 0)
    for n in (1, 2):
        await approval.read_decisions(
            "run-1", ASKED, decided(f"decision-{n}", customer_id="cust_002", approved=True), True
        )
    verdict = await approval.read_decisions("run-1", ASKED, decided("wake-up"), True)
    arguments = (outcome["state"], TICKET, verdict["decisions"])
    assert await approval.resume_agent(*arguments) == await approval.resume_agent(*arguments)
    assert await statuses() == ["issued", "blocked"]
    assert [row["action"] for row in await audited()] == ["refund_issued", "refund_blocked"]
