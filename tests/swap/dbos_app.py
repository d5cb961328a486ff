"""The email flow under another engine, DBOS: the same `worker.py`, `db.py` and ledger, the same audit rows.

DBOS keeps its memory in Postgres and runs inside this process; there is no server to call it. Nothing here imports
inngest. What maps to what is in docs/swap.md.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, ParamSpec, TypeVar

import fastapi
from dbos import DBOS, DBOSConfig, SetWorkflowID, StepOptions

import db
import settings
import worker
from refunds import ledger
from steps import saved_state

P = ParamSpec("P")
T = TypeVar("T")
DECIDED = "refund/approval.decided"
WINDOW_SECONDS = float(os.environ.get("WINDOW_SECONDS") or ledger.WINDOW.total_seconds())


async def step(name: str, body: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **named: P.kwargs) -> T:
    """`ctx.step.run`: done once and remembered; tried five times, later and later."""
    options = StepOptions(name=name, retries_allowed=True, max_attempts=5, interval_seconds=1, backoff_rate=3)
    return await DBOS.run_step_async(options, body, *arguments, **named)


@DBOS.workflow()
async def handle_customer_email(email: dict[str, str], event_id: str) -> str:
    """One email: received, answered, and if money is to move, not before a person has said yes."""
    run_id = str(DBOS.workflow_id)
    ticket = worker.Ticket(customer_id=email["customer_id"], run_id=run_id)
    await step("audit-received", audit_received, email, event_id, run_id)
    outcome = await step("run-agent", worker.answer, email["email_text"], ticket)
    for number in count(1):
        if not outcome["asked"]:
            break
        # One after the other: a decision that comes before `recv` waits in Postgres for it.
        await step(
            f"notify-reviewer-{number}", ledger.open_requests, run_id, event_id, ticket["customer_id"], outcome["asked"]
        )
        wake_up = await DBOS.recv_async(DECIDED, timeout_seconds=WINDOW_SECONDS)
        decisions = await step(f"read-decisions-{number}", read_decisions, run_id, wake_up is None)
        outcome = await step(f"resume-agent-{number}", go_on, outcome["state"] or {}, ticket, decisions)
    reply = outcome["reply"] or ""
    await step("audit-sent", audit_sent, ticket, event_id, reply)
    return reply


async def audit_received(email: dict[str, str], event_id: str, run_id: str) -> None:
    """The first row, with the key that it has under the other engine."""
    await db.record(
        "message_received",
        run_id,
        "audit-received",
        email["customer_id"],
        event_id=event_id,
        message_id=None,
        email_text=email["email_text"],
    )


async def audit_sent(ticket: worker.Ticket, event_id: str, reply: str) -> None:
    """The last row."""
    await db.record(
        "message_sent",
        ticket["run_id"],
        "audit-sent",
        ticket["customer_id"],
        reply=reply,
        event_id=event_id,
        delivery="draft",
    )


async def read_decisions(run_id: str, late: bool) -> dict[str, Any]:
    """The ledger's word; a wake-up says only that there may be one."""
    await ledger.expire(run_id, overdue_only=not late)
    return {
        row["call_id"]: {"status": row["status"], "order_id": row["order_id"], "why": row["decision_note"]}
        for row in await ledger.of_run(run_id)
    }


async def go_on(state: dict[str, Any], ticket: worker.Ticket, decisions: dict[str, Any]) -> worker.Outcome:
    """Go on with what was decided, and leave nothing of it open."""
    outcome = await saved_state.resume(state, ticket, decisions)
    await ledger.block_the_rest(ticket["run_id"], "approved, but the agent did not carry it out", calls=list(decisions))
    return outcome


@asynccontextmanager
async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
    """Launching picks up what a dead process has left unfinished."""
    url = f"{settings.database_url()}_dbos"
    DBOS(
        config=DBOSConfig(
            name="customer-support", system_database_url=url, application_version="1", log_level="WARNING"
        )
    )
    DBOS.launch()
    yield
    DBOS.destroy()
    await db.close()


app = fastapi.FastAPI(lifespan=lifespan)


@app.post("/emails/{event_id}")
async def receive(event_id: str, email: dict[str, str]) -> None:
    """The event: its id is the workflow's, so that the same event again is the same workflow."""
    with SetWorkflowID(event_id):
        await DBOS.start_workflow_async(handle_customer_email, email, event_id)


@app.post("/decisions/{event_id}")
async def decide(event_id: str, decision: dict[str, bool]) -> None:
    """A person's decision: into the ledger first, then the wake-up."""
    for refund in await ledger.of_run(event_id):
        yes_or_no = ledger.Decision(approved=decision["approved"], by="grace", key=str(refund["id"]))
        await ledger.decide_oldest(event_id, None, yes_or_no)
    await DBOS.send_async(event_id, "decided", DECIDED)
