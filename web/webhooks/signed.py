"""Messages that prove by a signature who sent them, Stripe's and those of Standard Webhooks, and their events."""

from collections.abc import Mapping
from typing import Annotated, Any

import standardwebhooks
import stripe
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

import db
from web import Event
from web.webhooks.inbound_email import EventId

STRIPE_TOLERANCE_SECONDS = 300
STRIPE_EVENTS = {
    # The type that Stripe sends for every refund that fails (https://docs.stripe.com/api/events/types), to endpoints
    # with an API version from 2024-10-28 on. refund.updated and charge.refund.updated tell the same once more.
    "refund.failed": "stripe/charge.refund.failed",
    # The course's name for it. Stripe has no such type; whoever tries the door by hand may use it.
    "charge.refund.failed": "stripe/charge.refund.failed",
    "charge.dispute.created": "stripe/charge.dispute.created",
    "charge.dispute.updated": "stripe/charge.dispute.updated",
    "charge.dispute.closed": "stripe/charge.dispute.closed",
}


class StripeData(BaseModel):
    """Where the event has its object."""

    object: dict[str, Any] = {}


class StripeEvent(BaseModel):
    """What is read of every event of Stripe's."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: EventId
    type: str
    livemode: StrictBool = False
    data: StripeData = StripeData()


class RefundOrDispute(BaseModel):
    """What is read of a refund (https://docs.stripe.com/api/refunds/object) or dispute (…/disputes/object)."""

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


class Message(BaseModel):
    """What is read of a Standard Webhooks message; the scheme allows `data` to be squashed into the top level."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="allow")

    type: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
    data: dict[str, Any] | None = None


def signed_by_stripe(body: bytes, header: str | None, secret: str) -> bool:
    """Whether Stripe signed this body with this secret in the last five minutes, by Stripe's own library."""
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, STRIPE_TOLERANCE_SECONDS)
    # Its own error, and what a body that is no UTF-8 and a signature that is no ASCII raise in it.
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        return False
    return True


def signed_by(service: standardwebhooks.Webhook, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the service signed this body, id and time, in the last five minutes, by the scheme's own library."""
    try:
        service.verify(body, dict(headers), json_parse=False)
    except (standardwebhooks.WebhookVerificationError, ValueError):
        return False
    return True


def stripe_event(posted: dict[str, Any]) -> Event | None:
    """A refund that failed or a dispute, flat; None for every other type. Raises pydantic.ValidationError.

    `amount_cents` is in the currency's smallest unit, as Stripe has it. Test mode and live mode sign with secrets of
    their own, so the secret decides which are let in; `livemode` says which it was.
    """
    event = StripeEvent.model_validate(posted)
    if event.type not in STRIPE_EVENTS:
        return None
    about = RefundOrDispute.model_validate(event.data.object)
    is_dispute = event.type.startswith("charge.dispute")
    data = {
        "dispute_id" if is_dispute else "refund_id": about.id,
        "charge_id": about.charge,
        "payment_intent_id": about.payment_intent,
        "amount_cents": about.amount,
        "currency": about.currency,
        "reason": about.reason if is_dispute else about.failure_reason,
        "status": about.status,
        "livemode": event.livemode,
    }
    metadata = about.metadata or {}
    data |= {name: str(metadata[name]) for name in ("order_id", "customer_id") if metadata.get(name)}
    return Event(id=event.id, name=STRIPE_EVENTS[event.type], data=db.clean(data))


def message_event(service: str, message_id: str, posted: dict[str, Any]) -> Event:
    """The message as the event `{service}/{type}`. Raises pydantic.ValidationError."""
    message = Message.model_validate(posted)
    data = message.data if message.data is not None else message.model_extra or {}
    return Event(id=message_id, name=f"{service}/{message.type}", data=db.clean(data))
