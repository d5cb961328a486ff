"""The payment providers: the ledger alone, or Stripe.

There are two kinds of failure. DeclinedError says for certain that no money moved; every other exception leaves that
open, and the caller repeats the call with the same key, which must never pay twice.
"""

from typing import Any, Protocol

import stripe

import settings

TIMEOUT_SECONDS = 10
# Final states of a refund of Stripe's in which the customer got nothing.
NOT_PAID = {"failed", "canceled"}


class DeclinedError(RuntimeError):
    """The provider refused for good, and no money moved; the message is its reason."""


class NothingFoundError(DeclinedError):
    """There is nothing to refund. After an earlier try, which found it, this says nothing about the money."""


class Provider(Protocol):
    """Pays a refund of `amount_cents` for one order of one customer; returns the provider's reference."""

    async def __call__(self, *, customer_id: str, order_id: str, amount_cents: int, key: str) -> str:
        """Raise DeclinedError if it is certain that no money moved."""


async def in_ledger_only(*, customer_id: str, order_id: str, amount_cents: int, key: str) -> str:
    """The default: there is no provider, the row in the ledger is the refund. It is safe to repeat."""
    return f"ledger:{key[:16]}"


async def with_stripe(*, customer_id: str, order_id: str, amount_cents: int, key: str) -> str:
    """Refund the succeeded PaymentIntent whose metadata has this `order_id` and `customer_id`, if nobody did before.

    Needs STRIPE_API_KEY. Raises DeclinedError when there is no such payment, it has another refund or Stripe refuses,
    and StripeError for what may succeed when repeated (no answer, 401, 409, 429, 5xx).
    """
    http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
    client = stripe.StripeClient(
        settings.stripe_api_key(),
        base_addresses={"api": settings.stripe_api_base()},
        http_client=http,
        # The engine repeats the step; a second try here would only hold a slot.
        max_network_retries=0,
    ).v1
    try:
        charged = await _payments(client, customer_id, order_id)
        refunded = []
        for payment in charged:
            # Stripe forgets a key after a day (https://docs.stripe.com/api/idempotent_requests); the metadata stays.
            for refund in (await client.refunds.list_async({"payment_intent": payment.id, "limit": 100})).data:
                if refund.metadata is not None and "key" in refund.metadata and refund.metadata["key"] == key:
                    return _paid(refund)
                if refund.status not in NOT_PAID:
                    refunded.append(refund.id)
        if not charged:
            raise NothingFoundError("Stripe has no payment of this customer for this order")
        if len(charged) > 1:
            raise DeclinedError(f"Stripe has {len(charged)} payments of this customer for this order")
        if refunded:
            raise DeclinedError(f"Stripe already has a refund of this payment: {', '.join(refunded)}")
        return await _refund(client, charged[0].id, amount_cents, order_id, key)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


async def _payments(client: Any, customer_id: str, order_id: str) -> list[stripe.PaymentIntent]:
    """The payments of this customer for this order that succeeded."""
    query = (
        f"metadata['order_id']:'{_quoted(order_id)}' AND metadata['customer_id']:'{_quoted(customer_id)}'"
        " AND status:'succeeded'"
    )
    return list((await client.payment_intents.search_async({"query": query})).data)


async def _refund(client: Any, payment_id: str, amount_cents: int, order_id: str, key: str) -> str:
    refund = {"payment_intent": payment_id, "amount": amount_cents, "metadata": {"order_id": order_id, "key": key}}
    try:
        return _paid(await client.refunds.create_async(refund, {"idempotency_key": key}))
    except stripe.InvalidRequestError as error:
        # The same key gets the same answer: had it paid before, it would have said so again.
        raise DeclinedError(error.user_message or str(error)) from error


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _paid(refund: stripe.Refund) -> str:
    if refund.status in NOT_PAID:
        raise DeclinedError(f"Stripe's refund {refund.id} is {refund.status}")
    return refund.id


PROVIDERS: dict[str, Provider] = {"ledger": in_ledger_only, "stripe": with_stripe}


def provider() -> Provider:
    """The provider that PAYMENTS names. Raises settings.SettingError for an unknown one or a missing key."""
    return PROVIDERS[settings.payments()]
