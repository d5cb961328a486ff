"""Nobody's message disappears: an email that could not be answered leaves a `run_failed` row for a person."""

import logging
from collections.abc import Mapping
from typing import Any

import inngest

import db
from refunds import ledger
from steps.encryption import UNREADABLE

TEXT_MAX_CHARS = 100_000
FIELD_MAX_CHARS = 1000
CUSTOMER_MAX_CHARS = 100
# With the engine's pauses, these retries last for a day: so long may the database or the app be away.
RETRIES = 20
# The engine tells of every function that fails; this picks the runs that answer emails.
OF_THE_EMAIL_HANDLER = "event.data.function_id == 'customer-support-handle-customer-email'"
logger = logging.getLogger("customer-support")


def functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    """`record-failed-email` and `record-unmatched-email`."""

    # Not `on_failure=`: the SDK registers such a handler without retries (seen in 0.5.19), so that a process which dies
    # in it, or a database that is away, would lose the last trace of an email that did not come through our webhook.
    @client.create_function(
        fn_id="record-failed-email",
        trigger=[
            inngest.TriggerEvent(event="inngest/function.failed", expression=OF_THE_EMAIL_HANDLER),
            inngest.TriggerEvent(event="inngest/function.cancelled", expression=OF_THE_EMAIL_HANDLER),
        ],
        retries=RETRIES,
    )
    async def record_failed_email(ctx: inngest.Context) -> None:
        """A run that failed for good, or was cancelled."""
        await ctx.step.run("audit-run-failed", audit_run_failed, ctx.event.data)

    @client.create_function(
        fn_id="record-unmatched-email", trigger=inngest.TriggerEvent(event="customer/email.unmatched"), retries=RETRIES
    )
    async def record_unmatched_email(ctx: inngest.Context) -> None:
        """An email from an address that is no customer's."""
        await ctx.step.run("audit-unmatched", audit_unmatched, ctx.event)

    return [record_failed_email, record_unmatched_email]


async def audit_run_failed(failed: Any) -> None:
    """Hand an email over to a person, unless it was answered.

    `failed` is the data of `inngest/function.failed` or `inngest/function.cancelled`.
    """
    run_id, event = failed["run_id"], failed["event"]
    # The official server lets a run that has ended be cancelled, and says so like of any other.
    if await db.fetch("select from audit_log where key = $1", f"{run_id}:audit-sent"):
        return
    error = (failed.get("error") or {}).get("message") or "the run was cancelled"
    # The message stands in the row; a log line must not quote an email.
    logger.error("Run %s failed: %s", run_id, (failed.get("error") or {}).get("name") or "it was cancelled")
    await hand_over(run_id, event.get("id"), event["data"], error)


async def hand_over(run_id: str, event_id: str | None, data: Mapping[str, Any], error: str, **detail: Any) -> None:
    """Write `run_failed` with the email and the error, and close the run's refunds: a person takes over from here."""
    await ledger.block_the_rest(run_id, f"the run ended: {error}"[:FIELD_MAX_CHARS], pending=True)
    unpaid = [row["id"] for row in await ledger.of_run(run_id) if row["settled_at"] is None]
    customer_id, text = data.get("customer_id"), data.get("email_text")
    if text is None or text == UNREADABLE:
        text = await _text_in_tables(run_id, event_id) or text
    await db.record(
        "run_failed",
        run_id,
        "audit-run-failed",
        None if customer_id is None else str(customer_id)[:CUSTOMER_MAX_CHARS],
        event_id=event_id,
        error=error,
        payments_left_open=unpaid,
        email_text=str(text)[:TEXT_MAX_CHARS],
        **detail,
    )


async def _text_in_tables(run_id: str, event_id: str | None) -> Any:
    """The email as its run or the webhook wrote it down, for an event that was encrypted with a key that is gone."""
    [row] = await db.fetch(
        "select coalesce((select detail ->> 'email_text' from audit_log where key = $1),"
        " (select event #>> '{data,email_text}' from inbox where event_id = $2)) as text",
        f"{run_id}:audit-received",
        event_id,
    )
    return row["text"]


async def audit_unmatched(event: inngest.Event) -> None:
    """Write `run_failed` for an email from nobody we know, under its event's id: once, however often it is sent."""
    await db.record(
        "run_failed",
        event.id,
        "audit-unmatched",
        None,
        event_id=event.id,
        error=str(event.data.get("reason"))[:FIELD_MAX_CHARS],
        sender=str(event.data.get("from") or "")[:FIELD_MAX_CHARS],
        subject=str(event.data.get("subject") or "")[:FIELD_MAX_CHARS],
        email_text=str(event.data.get("email_text"))[:TEXT_MAX_CHARS],
    )
