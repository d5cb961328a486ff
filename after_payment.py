"""What is done when money that was paid comes back: a refund that the provider could not deliver, a dispute.

The steps of three functions that hear of the same event and fail independently. None of them pays again: that is for
a person to decide. The data is that of `stripe/charge.refund.failed` and `stripe/charge.dispute.created`.
"""

from collections.abc import Mapping
from typing import Any

import inngest

import db
import steps
from outbound import chat, mail

FIELD_MAX_CHARS = 100
NEWS = (
    "We made a refund{amount}{order}, but the payment did not reach your account. You need not do anything:"
    " a colleague will look at it and write to you."
)


async def notify_support(event: inngest.Event) -> dict[str, bool]:
    """Post one sentence to the reviewers' chat. Raises UnavailableError and RetryAfterError for what may pass."""
    data = event.data
    what, reference = ("dispute", "dispute_id") if "dispute" in event.name else ("refund", "refund_id")
    happened = "was opened" if what == "dispute" else "could not be delivered"
    row = await _in_ledger(data)
    names = ("customer_id", "order_id", "charge_id", "reason", "status")
    facts = {name: _text({**data, **(row or {})}, name) for name in names}
    known = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in facts.items() if value)
    with steps.retries_that_fit_a_chat():
        told = await chat.post(
            [
                (
                    f"The {what} {_text(data, reference)}{_amount(data)} {happened} ({known}).",
                    f"/approvals/{row['id']}" if row else "/approvals",
                )
            ]
        )
    return {"told": told}


async def audit_failed_refund(event: inngest.Event) -> None:
    """Write `refund_blocked`, once per refund of the provider's, in the trail of the run that paid it if one did."""
    data, reference = event.data, _text(event.data, "refund_id") or event.id
    row = await _in_ledger(data)
    run_id, customer_id = row["run_id"] if row else "provider", await _customer(data, row)
    await db.audit(
        "refund_blocked", run_id, f"refund-failed:{reference}", customer_id,
        refund_id=row["id"] if row else None, order_id=row["order_id"] if row else _text(data, "order_id") or None,
        amount_cents=data.get("amount_cents"), reference=reference,
        why=f"the payment provider could not deliver it: {_text(data, 'reason') or 'no reason given'}",
    )  # fmt: skip


async def tell_customer(event: inngest.Event, attempt: int) -> None:
    """Write to the customer, once per refund, that a colleague will follow up; nothing if we do not know who it is.

    Raises RetryAfterError, and NonRetriableError when it cannot be delivered: the text then stays in `run_failed`.
    """
    data, reference = event.data, _text(event.data, "refund_id") or event.id
    row = await _in_ledger(data)
    customer_id = await _customer(data, row)
    if customer_id is None:
        return
    run_id, order = row["run_id"] if row else "provider", row["order_id"] if row else _text(data, "order_id")
    text = NEWS.format(amount=_amount(data), order=f" for order {order}" if order else "")
    step_id, key = f"tell-refund-failed:{reference}", f"refund-failed-{reference}"
    try:
        with steps.retries_that_fit_a_mail(attempt):
            await mail.send_once(
                run_id, step_id, customer_id, text,
                mail_key=key, received={"subject": "Your refund"}, reference=reference,
            )  # fmt: skip
    except mail.UnsentError as error:
        await db.audit("run_failed", run_id, f"{step_id}:unsent", customer_id, error=str(error), reply=text)
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
