"""Stripe's webhook events: who signed them, and the events of ours that they become."""

from typing import Any

import stripe
from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt

import db
from web import Event
from web.webhooks.endpoint import EventId

TOLERANCE_SECONDS = 300
EVENT_NAMES = {
    # Stripe sends this type for every refund that fails (https://docs.stripe.com/api/events/types), to endpoints with
    # an API version from 2024-10-28 on. refund.updated and charge.refund.updated only repeat it, so they are ignored.
    "refund.failed": "stripe/charge.refund.failed",
    # The course's name for it. Stripe has no such type; it is here for whoever tries the webhook by hand.
    "charge.refund.failed": "stripe/charge.refund.failed",
    "charge.dispute.created": "stripe/charge.dispute.created",
}


class StripeData(BaseModel):
    """The part of an event that holds its refund or dispute."""

    object: dict[str, Any] = {}


class StripeEvent(BaseModel):
    """What is read of every event."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: EventId
    type: str
    livemode: StrictBool = False
    data: StripeData = StripeData()


class RefundOrDispute(BaseModel):
    """What is read of a refund (https://docs.stripe.com/api/refunds/object) or a dispute (…/api/disputes/object)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: str
    amount: StrictInt
    currency: str
    charge: str | None = None
    payment_intent: str | None = None
    status: str | None = None
    reason: str | None = None
    failure_reason: str | None = None
    metadata: dict[str, Any] | None = None


def is_signed(body: bytes, header: str | None, secret: str) -> bool:
    """Whether Stripe signed this body with this secret in the last five minutes."""
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
    # Stripe's library raises ValueError for a body that is not UTF-8 and TypeError for a signature that is not ASCII.
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        return False
    return True


def to_event(posted: dict[str, Any]) -> Event | None:
    """A refund that failed or a dispute that was opened, flattened; None for every other type.

    `amount_cents` is in the currency's smallest unit, as at Stripe. Test mode and live mode have signing secrets of
    their own, so the configured secret decides which of them gets in; `livemode` says which it was. Raises
    pydantic.ValidationError.
    """
    event = StripeEvent.model_validate(posted)
    if event.type not in EVENT_NAMES:
        return None
    about = RefundOrDispute.model_validate(event.data.object)
    is_dispute = event.type.startswith("charge.dispute")
    data: dict[str, Any] = {
        "dispute_id" if is_dispute else "refund_id": about.id,
        "charge_id": about.charge,
        "payment_intent_id": about.payment_intent,
        "amount_cents": about.amount,
        "currency": about.currency,
        "reason": about.reason if is_dispute else about.failure_reason,
        "status": about.status,
        "livemode": event.livemode,
    }
    # The app writes its order_id on every refund that it makes, see refunds/providers.py. All values are strings.
    for name in ("order_id", "customer_id"):
        value = (about.metadata or {}).get(name)
        if value and isinstance(value, str):
            data[name] = value
    return Event(id=event.id, name=EVENT_NAMES[event.type], data=db.clean(data))
