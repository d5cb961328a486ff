"""The steps of an approval: the reviewers are told, the ledger is read after a wake-up, and the agent goes on."""

import logging
from typing import Any

import inngest

import worker
from outbound import chat
from refunds import ledger, replies
from steps import saved_state
from steps.retries import RETRIES, retry_chat, retry_model

logger = logging.getLogger("customer-support")


async def notify_reviewer(
    ticket: worker.Ticket, request_id: str, asked: list[dict[str, Any]], attempt: int
) -> dict[str, bool]:
    """Put the refunds into the ledger, and only then tell the reviewers. `attempt` counts the tries from 0.

    A chat service that cannot be reached fails the step until the last try. After that the reviewers, who were not
    told, still find the refunds at the desk.
    """
    await ledger.open_requests(ticket["run_id"], request_id, ticket["customer_id"], asked)
    waiting = await ledger.waiting(ticket["run_id"], [refund["call_id"] for refund in asked])
    if not waiting:  # They were decided while the chat service was away.
        return {"told": False}
    try:
        async with retry_chat():
            return {"told": await chat.about_refunds(f"{ticket['customer_id']} ({waiting[0]['tier']})", waiting)}
    except (chat.UnavailableError, inngest.RetryAfterError) as error:
        if attempt < RETRIES:
            raise
        logger.error("%s The refunds of run %s wait at the desk.", error, ticket["run_id"])
        return {"told": False}


async def read_decisions(
    run_id: str, asked: list[dict[str, Any]], wake_up: inngest.Event | None, dev: bool
) -> dict[str, Any]:
    """What the ledger says of the run's refunds after a wake-up, or when the time for those `asked` is up (None).

    Returns the decisions by call id, and as `seconds_left` how long to wait for those that are still pending, else 0.
    In dev mode the wake-up itself may be the decision; `refused` is why it was not recorded, for whoever looks at the
    step in the dashboard.
    """
    refused = await record_dev_decision(wake_up) if wake_up is not None and dev else None
    rows = await ledger.of_run(run_id)
    calls = [refund["call_id"] for refund in asked]
    pending = [row for row in rows if row["status"] == "pending" and row["call_id"] in calls]
    if any(wake_up is None or row["seconds_left"] <= 0 for row in pending):
        await ledger.expire(run_id, overdue_only=wake_up is not None, calls=calls)
        rows = await ledger.of_run(run_id)
    return {
        "refused": refused,
        "seconds_left": max((row["seconds_left"] for row in rows if row["status"] == "pending"), default=0),
        "decisions": {
            row["call_id"]: {"status": row["status"], "order_id": row["order_id"], "why": row["decision_note"]}
            for row in rows
        },
    }


async def record_dev_decision(event: inngest.Event) -> str | None:
    """Record the course's bare event {"approved": true, "customer_id": ...} as a decision on the oldest pending refund.

    Its `amount_cents` lowers the amount, its `rejection_message` reaches the customer, `"also_paid": true` pays it
    although a similar refund was approved, and anything but true or false is no decision. Returns why the ledger
    refused it, if it did. Outside dev mode, where events are not proof of who sent them, no event decides anything.
    """
    approved, amount = event.data.get("approved"), event.data.get("amount_cents")
    if not isinstance(approved, bool) or (amount is not None and type(amount) is not int):
        return None
    decision = ledger.Decision(
        approved=approved,
        by="dev-mode event",
        key=event.id,
        note=str(event.data.get("rejection_message") or ""),
        amount_cents=amount,
        also_paid=event.data.get("also_paid") is True,
    )
    refusal = await ledger.decide_oldest(event.data.get("request_id"), event.data.get("customer_id"), decision)
    if refusal is not None:
        logger.warning("Event %s decided nothing: %s", event.id, refusal)
    return refusal


async def resume_agent(
    state: dict[str, Any] | None, ticket: worker.Ticket, decisions: dict[str, Any]
) -> worker.Outcome:
    """Let the worker go on with what was decided. Afterwards nothing that was decided is left open."""
    unpaid = "approved, but the agent did not carry it out"
    try:
        async with retry_model():
            outcome = await saved_state.resume(state or {}, ticket, decisions)
    except saved_state.UnreadableStateError as error:
        logger.error("Run %s cannot be resumed: %s", ticket["run_id"], error)
        unpaid = "the run was saved by another version and could not be resumed"
        outcome = worker.Outcome(reply=worker.FOLLOW_UP, state=None, asked=[])
    # Only what was decided then: this may be a late repetition, while the next refund is on its way to its payment.
    await ledger.block_the_rest(ticket["run_id"], unpaid, calls=list(decisions))
    if outcome["reply"] == worker.FOLLOW_UP:
        outcome["reply"] = await replies.with_facts(worker.FOLLOW_UP, "", ticket["run_id"], ticket["customer_id"])
    return outcome
