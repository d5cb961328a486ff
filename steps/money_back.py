"""Money that was paid comes back: a refund that the provider could not deliver, or a dispute.

Three functions hear of the same event and fail independently of each other. None of them pays again: that is for a
person to decide. The data is that of `stripe/charge.refund.failed` and `stripe/charge.dispute.created`.
"""

from collections.abc import Mapping
from typing import Any

import inngest

import db
from outbound import chat, mail
from steps.replies import retry_mail
from steps.retries import retry_chat

FIELD_MAX_CHARS = 100
REFUND_FAILED = inngest.TriggerEvent(event="stripe/charge.refund.failed")
DISPUTED = inngest.TriggerEvent(event="stripe/charge.dispute.created")
# The run id of the rows about a refund that is not in our ledger.
NO_RUN = "provider"


def functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    """`notify-support`, `record-failed-refund` and `tell-customer-refund-failed`."""

    @client.create_function(fn_id="notify-support", trigger=[REFUND_FAILED, DISPUTED])
    async def notify_support_of_it(ctx: inngest.Context) -> None:
        """Support hears of a refund that failed and of a dispute."""
        await ctx.step.run("post-to-support", notify_support, ctx.event)

    @client.create_function(fn_id="record-failed-refund", trigger=REFUND_FAILED)
    async def record_failed_refund(ctx: inngest.Context) -> None:
        """A refund that did not arrive stands in the audit trail."""
        await ctx.step.run("audit-failed-refund", audit_failed_refund, ctx.event)

    @client.create_function(fn_id="tell-customer-refund-failed", trigger=REFUND_FAILED)
    async def tell_customer_refund_failed(ctx: inngest.Context) -> None:
        """The customer, who was told of the refund, is told of this too."""
        await ctx.step.run("write-to-customer", tell_customer, ctx.event, ctx.attempt)

    return [notify_support_of_it, record_failed_refund, tell_customer_refund_failed]


async def notify_support(event: inngest.Event) -> dict[str, bool]:
    """Post one sentence to the reviewers' chat. Raises UnavailableError and RetryAfterError for what may pass."""
    row = await _in_ledger(event.data)
    facts = {**event.data, **(row or {})}
    names = ("customer_id", "order_id", "charge_id", "reason", "status")
    known = ", ".join(f"{name.removesuffix('_id')} {_text(facts, name)}" for name in names if _text(facts, name))
    if event.name == DISPUTED.event:
        subject, happened = f"dispute {_text(event.data, 'dispute_id')}", "was opened"
    else:
        subject, happened = f"refund {_text(event.data, 'refund_id')}", "could not be delivered"
    page = f"/approvals/{row['id']}" if row else "/approvals"
    async with retry_chat():
        return {"told": await chat.post([(f"The {subject}{_amount(event.data)} {happened} ({known}).", page)])}


async def audit_failed_refund(event: inngest.Event) -> None:
    """Write `refund_blocked` once per refund of the provider's, in the trail of the run that paid it if one did."""
    reference = _text(event.data, "refund_id") or event.id
    row = await _in_ledger(event.data)
    await db.record(
        "refund_blocked",
        row["run_id"] if row else NO_RUN,
        f"refund-failed:{reference}",
        await _customer(event.data, row),
        refund_id=row["id"] if row else None,
        order_id=row["order_id"] if row else _text(event.data, "order_id") or None,
        amount_cents=event.data.get("amount_cents"),
        reference=reference,
        why=f"the payment provider could not deliver it: {_text(event.data, 'reason') or 'no reason given'}",
        needs_person=True,
    )


async def tell_customer(event: inngest.Event, attempt: int) -> None:
    """Write to the customer, once per refund, that a colleague will follow up; nothing if we do not know who it is.

    `attempt` counts the tries of this step from 0. Raises RetryAfterError while the mail server may still take it, and
    NonRetriableError when it cannot be delivered: the text is then kept in a `run_failed` row.
    """
    reference = _text(event.data, "refund_id") or event.id
    row = await _in_ledger(event.data)
    customer_id = await _customer(event.data, row)
    if customer_id is None:
        return
    order_id = row["order_id"] if row else _text(event.data, "order_id")
    text = (
        f"We made a refund{_amount(event.data)}{f' for order {order_id}' if order_id else ''}, but the payment did not"
        " reach your account. You need not do anything: a colleague will look at it and write to you."
    )
    run_id, step_id = row["run_id"] if row else NO_RUN, f"tell-refund-failed:{reference}"
    try:
        async with retry_mail(attempt):
            await mail.send_once(
                run_id,
                step_id,
                customer_id,
                text,
                mail_key=f"refund-failed-{reference}",
                received={"subject": "Your refund"},
                reference=reference,
            )
    except mail.UnsentError as error:
        await db.record("run_failed", run_id, f"{step_id}:unsent", customer_id, error=str(error), reply=text)
        raise inngest.NonRetriableError(str(error)) from None


async def _in_ledger(data: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = await db.fetch(
        "select id, run_id, order_id, customer_id from refunds where outcome = $1 and status = 'issued'",
        db.clean(_text(data, "refund_id")),
    )
    return rows[0] if rows else None


async def _customer(data: Mapping[str, Any], row: dict[str, Any] | None) -> str | None:
    customer = await db.get_customer(row["customer_id"] if row else _text(data, "customer_id"))
    return customer["id"] if customer else None


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data.get(name) or "")[:FIELD_MAX_CHARS]


def _amount(data: Mapping[str, Any]) -> str:
    cents = data.get("amount_cents")
    return f" of {cents / 100:.2f} {_text(data, 'currency').upper()}".rstrip() if type(cents) is int else ""
