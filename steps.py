"""What the durable steps do: the side effects, apart from the functions that order them (`inngest_app.py`).

A step may run again after a crash, so each writes under keys that stay the same, and returns plain JSON. Regions carry
the number of the Decision that adds them.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import NoneType
from typing import Any, cast

import agents
import inngest
import openai

import db
import saved_state
import worker
from outbound import chat, mail
from refunds import ledger

# Of every step: the engine's own default, which `MAIL_PATIENCE_MINUTES` and the last try of a notice count on.
RETRIES = 4
# A mail server that says "later" means minutes.
MAIL_PATIENCE_MINUTES = (1, 5, 15, 60)
CHAT_PATIENCE_MAX_SECONDS = 60
EMAIL_MAX_CHARS = 100_000
RETRY_AFTER_MAX_SECONDS = 3600
FOLLOW_UP = "Thank you for your patience. I could not finish this myself; a colleague will look at it and write to you."
logger = logging.getLogger("customer-support")


# region D1: the audit trail
async def audit_received(event: inngest.Event, run_id: str) -> None:
    """Check the email and write `message_received`. Raises NonRetriableError for one that can never be answered."""
    customer_id, text = event.data.get("customer_id"), event.data.get("email_text")
    if not isinstance(customer_id, str) or not isinstance(text, str) or not text.strip():
        raise inngest.NonRetriableError("customer/email.received needs a customer_id and an email_text.")
    if len(text) > EMAIL_MAX_CHARS:
        raise inngest.NonRetriableError(f"The email has {len(text)} characters; {EMAIL_MAX_CHARS} are read at most.")
    await known_customer(customer_id)
    await db.audit(
        "message_received", run_id, "audit-received", customer_id,
        event_id=event.id, message_id=event.data.get("message_id"), email_text=text,
    )  # fmt: skip


async def known_customer(customer_id: str) -> None:
    """Raise NonRetriableError unless there is such a customer."""
    if await db.get_customer(customer_id) is None:
        raise inngest.NonRetriableError(f"There is no customer {customer_id[:100]!r}.")


@contextmanager
def retries_that_fit_a_mail(attempt: int) -> Iterator[None]:
    """Tell the engine to try again when the mail server may take it later; after the last `attempt` (from 0) raise."""
    try:
        yield
    except mail.UnsentError as error:
        if error.final or attempt >= RETRIES:
            raise
        raise inngest.RetryAfterError(str(error), timedelta(minutes=MAIL_PATIENCE_MINUTES[attempt])) from None


async def audit_sent(ticket: worker.Ticket, event: inngest.Event, reply: str, attempt: int = RETRIES) -> None:
    """Send the reply, if mail is configured, and write `message_sent`.

    Raises RetryAfterError, and NonRetriableError for a reply that cannot be delivered: it stays in `run_failed`.
    """
    run_id = ticket["run_id"]
    try:
        with retries_that_fit_a_mail(attempt):
            await mail.send_once(
                run_id, "audit-sent", ticket["customer_id"], reply,
                mail_key=run_id, received=event.data, event_id=event.id,
            )  # fmt: skip
    except mail.UnsentError as error:
        await hand_over(run_id, event.id, event.data, str(error), reply=reply)
        raise inngest.NonRetriableError(str(error)) from None


async def audit_run_failed(failed: Any) -> None:
    """Hand an email that failed over to a person, unless it was answered.

    `failed` is the data of `inngest/function.failed` or `.cancelled`.
    """
    run_id, event = failed["run_id"], failed["event"]
    # The official server lets a finished run be cancelled, and says so like any other.
    if await db.fetch("select from audit_log where key = $1", f"{run_id}:audit-sent"):
        return
    error = (failed.get("error") or {}).get("message") or "the run was cancelled"
    await hand_over(run_id, event.get("id"), event["data"], error)


async def hand_over(run_id: str, event_id: str | None, data: Mapping[str, Any], error: str, **detail: Any) -> None:
    """Write `run_failed` with the email and the error, and close the run's refunds: a person takes over from here."""
    await ledger.block_the_rest(run_id, f"the run ended: {error}"[:1000], pending=True)
    unpaid = [row["id"] for row in await ledger.of_run(run_id) if row["settled_at"] is None]
    customer_id, text = (data.get(name) for name in ("customer_id", "email_text"))
    await db.audit(
        "run_failed", run_id, "audit-run-failed", None if customer_id is None else str(customer_id)[:100],
        event_id=event_id, error=error, payments_left_open=unpaid, email_text=str(text)[:EMAIL_MAX_CHARS], **detail,
    )  # fmt: skip


async def audit_unmatched(event: inngest.Event) -> None:
    """Write `run_failed` for an email from nobody we know, under its event's id: once, however often it is sent."""
    sender, subject = (str(event.data.get(name) or "")[:1000] for name in ("from", "subject"))
    await db.audit(
        "run_failed", event.id, "audit-unmatched", None, event_id=event.id, error=str(event.data.get("reason"))[:1000],
        sender=sender, subject=subject, email_text=str(event.data.get("email_text"))[:EMAIL_MAX_CHARS],
    )  # fmt: skip


# endregion D1


# region D2: the agent, retried as fits what failed
@contextmanager
def retries_that_fit() -> Iterator[None]:
    """Tell the engine when to try again: a busy model when it says so, a refusal never, anything else with backoff."""
    try:
        yield
    except openai.RateLimitError as error:
        seconds = error.response.headers.get("retry-after", "")
        if not seconds.isdecimal():
            raise
        wait = timedelta(seconds=min(int(seconds), RETRY_AFTER_MAX_SECONDS))
        raise inngest.RetryAfterError("The model is busy.", wait) from error
    except (openai.BadRequestError, agents.ModelRefusalError, agents.MaxTurnsExceeded, agents.UserError) as error:
        if isinstance(error, agents.UserError) and error.__cause__ is not None:
            raise  # What a tool raised, wrapped by the SDK: a dead database, most likely.
        raise inngest.NonRetriableError(f"{type(error).__name__}: {error}") from error


async def run_agent(email_text: str, ticket: worker.Ticket) -> worker.Outcome:
    """Let the worker read the email."""
    with retries_that_fit():
        outcome = await worker.answer(db.clean(email_text), ticket)
    await audit_refused(ticket, outcome, "run-agent")
    return outcome


async def audit_refused(ticket: worker.Ticket, outcome: worker.Outcome, step_id: str) -> None:
    """Write `refund_blocked` for the requests that were impossible, so that no person was asked."""
    for number, refund in enumerate(outcome["refused"]):
        await db.audit("refund_blocked", ticket["run_id"], f"{step_id}:{number}", ticket["customer_id"], **refund)


# endregion D2


# region D3: the health check
async def load_eligible_customers() -> list[str]:
    """The ids of the pro and enterprise customers."""
    rows = await db.fetch("select id from customers where tier in ('pro', 'enterprise') order by id")
    return [row["id"] for row in rows]


async def record_health_check(event: inngest.Event, run_id: str) -> None:
    """Write `health_check` with the customer's last seven days. Raises NonRetriableError for an unknown customer."""
    customer_id = str(event.data.get("customer_id"))
    await known_customer(customer_id)
    week = await db.fetch(
        "select action, count(*) from audit_log where customer_id = $1 and action <> 'health_check'"
        " and created_at > now() - interval '7 days' group by action",
        customer_id,
    )
    last_7_days = {row["action"]: row["count"] for row in week}
    await db.audit("health_check", run_id, "record-health-check", customer_id, last_7_days=last_7_days)


# endregion D3


# region D5: the gate on refunds
@contextmanager
def retries_that_fit_a_chat() -> Iterator[None]:
    """Tell the engine to try again when the chat service says so."""
    try:
        yield
    except chat.UnavailableError as error:
        if error.seconds is None:
            raise
        wait = timedelta(seconds=min(error.seconds, CHAT_PATIENCE_MAX_SECONDS))
        raise inngest.RetryAfterError(str(error), wait) from None


async def notify_reviewer(
    ticket: worker.Ticket, request_id: str, asked: list[dict[str, Any]], attempt: int = RETRIES
) -> dict[str, bool]:
    """Put the refunds into the ledger; only then tell the reviewers. Not told, they still find them at the desk."""
    await ledger.open_requests(ticket["run_id"], request_id, ticket["customer_id"], asked)
    calls = [refund["call_id"] for refund in asked]
    rows = [
        row for row in await ledger.of_run(ticket["run_id"]) if row["call_id"] in calls and row["status"] == "pending"
    ]
    if not rows:  # Decided while the chat service was away.
        return {"told": False}
    customer = await db.get_customer(ticket["customer_id"]) or {"tier": "unknown"}
    try:
        with retries_that_fit_a_chat():
            return {"told": await chat.about_refunds(f"{ticket['customer_id']} ({customer['tier']})", rows)}
    except (chat.UnavailableError, inngest.RetryAfterError) as error:
        if attempt < RETRIES:
            raise
        logger.error("%s The refunds of run %s wait at the desk.", error, ticket["run_id"])
        return {"told": False}


async def read_decisions(
    run_id: str, wake_up: inngest.Event | None, *, dev: bool, calls: list[str] | None = None
) -> dict[str, Any]:
    """What the ledger says after a wake-up, or after the time was up (None) for `calls` (None: for all of the run).

    Returns the decisions by call id, and `seconds_left` to wait while a refund is pending (else 0).
    """
    if wake_up is not None and dev:
        await record_dev_decision(wake_up)
    await ledger.expire(run_id, overdue_only=wake_up is not None, calls=calls)
    rows = await ledger.of_run(run_id)
    return {
        "seconds_left": max((row["seconds_left"] for row in rows if row["status"] == "pending"), default=0),
        "decisions": {
            row["call_id"]: {"status": row["status"], "order_id": row["order_id"], "why": row["decision_note"]}
            for row in rows
        },
    }


async def record_dev_decision(event: inngest.Event) -> None:
    """The course's bare {"approved": true, "customer_id": ...}: in dev mode it decides one refund, the oldest pending.

    `amount_cents` lowers it, `reason` reaches the customer. Anything but true or false is no decision. Outside dev mode
    no event decides anything.
    """
    approved, amount = event.data.get("approved"), event.data.get("amount_cents")
    refund = await ledger.oldest_pending(event.data.get("request_id"), event.data.get("customer_id"))
    if refund is None or type(approved) is not bool or type(amount) not in {int, NoneType}:
        return
    await ledger.decide(
        refund["id"], refund["digest"], approved=approved, by="dev-mode event",
        note=str(event.data.get("reason") or ""), amount_cents=cast(int | None, amount), key=event.id,
    )  # fmt: skip


async def resume_agent(
    state: dict[str, Any], ticket: worker.Ticket, decisions: dict[str, Any], step_id: str, may_ask: bool
) -> worker.Outcome:
    """Let the worker go on with what was decided; afterwards nothing that was decided is left open.

    A state that a deploy has made unreadable is not guessed at: no money, and a reply that a person will follow up.
    """
    unpaid = "approved, but the agent did not carry it out"
    try:
        with retries_that_fit():
            outcome = await worker.resume(state, ticket, decisions, may_ask=may_ask)
    except saved_state.UnreadableStateError as error:
        logger.error("Run %s cannot be resumed: %s", ticket["run_id"], error)
        unpaid = "the run was saved by another version and could not be resumed"
        outcome = worker.Outcome(reply=FOLLOW_UP, state=None, asked=[], refused=[])
    # Not more than was decided then: this may be a late repetition, with the next refund on its way to its payment.
    await ledger.block_the_rest(ticket["run_id"], unpaid, calls=list(decisions))
    await audit_refused(ticket, outcome, step_id)
    return outcome


# endregion D5
