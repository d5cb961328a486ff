"""From a recorded yes to the money: the one place that pays, and the providers it pays through.

`issue` believes the ledger, never its caller: there must be an approved row for exactly this customer, order, amount
and reason, and no other payment for the order. `PAYMENTS` chooses the provider; the same key must never pay twice.
There are two kinds of failure: DeclinedError says for certain that no money moved; every other exception leaves that
open, and the call is repeated with the same key.
"""

import asyncio
import os
from typing import Any, Protocol

import asyncpg
import stripe

from db import Connection, audit_in, clean, fetch, transaction
from refunds import ledger, rules

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
    """The default: no provider, the row in the ledger is the refund. Safe to repeat."""
    return f"ledger:{key[:16]}"


async def with_stripe(*, customer_id: str, order_id: str, amount_cents: int, key: str) -> str:
    """Refund the succeeded PaymentIntent whose metadata has this `order_id` and `customer_id`, if nobody did before.

    Needs STRIPE_API_KEY. Raises DeclinedError when there is no such payment, it has another refund or Stripe refuses,
    and StripeError for what may succeed when repeated (no answer, 401, 409, 429, 5xx).
    """
    http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
    client = stripe.StripeClient(
        os.environ["STRIPE_API_KEY"],
        base_addresses={"api": os.environ.get("STRIPE_API_BASE") or "https://api.stripe.com"},
        http_client=http,
        # The engine repeats; here a second try would only hold a slot.
        max_network_retries=0,
    ).v1
    named = " AND ".join(
        f"metadata['{name}']:'{_quoted(value)}'"
        for name, value in {"order_id": order_id, "customer_id": customer_id}.items()
    )
    try:
        payments = (await client.payment_intents.search_async({"query": f"{named} AND status:'succeeded'"})).data
        refunded = []
        for payment in payments:
            # Stripe forgets a key after a day (https://docs.stripe.com/api/idempotent_requests); the metadata stays.
            for refund in (await client.refunds.list_async({"payment_intent": payment.id, "limit": 100})).data:
                if refund.metadata is not None and "key" in refund.metadata and refund.metadata["key"] == key:
                    return _paid(refund)
                refunded += [refund.id] if refund.status not in NOT_PAID else []
        if not payments:
            raise NothingFoundError("Stripe has no payment of this customer for this order")
        if len(payments) > 1:
            raise DeclinedError(f"Stripe has {len(payments)} payments of this customer for this order")
        if refunded:
            raise DeclinedError(f"Stripe already has a refund of this payment: {', '.join(refunded)}")
        try:
            return _paid(
                await client.refunds.create_async(
                    {
                        "payment_intent": payments[0].id,
                        "amount": amount_cents,
                        "metadata": {"order_id": order_id, "key": key},
                    },
                    {"idempotency_key": key},
                )
            )
        except stripe.InvalidRequestError as error:
            # The same key gets the same answer: had it paid before, it would have said so again.
            raise DeclinedError(error.user_message or str(error)) from error
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _paid(refund: stripe.Refund) -> str:
    if refund.status in NOT_PAID:
        raise DeclinedError(f"Stripe's refund {refund.id} is {refund.status}")
    return refund.id


PROVIDERS: dict[str, Provider] = {"ledger": in_ledger_only, "stripe": with_stripe}


def provider() -> Provider:
    """The provider that `PAYMENTS` names (default: ledger). Raises ValueError for an unknown one or a missing key."""
    name = os.environ.get("PAYMENTS") or "ledger"
    if name not in PROVIDERS:
        raise ValueError(f"PAYMENTS is {name!r}: expected {' or '.join(PROVIDERS)}")
    if name == "stripe" and not os.environ.get("STRIPE_API_KEY"):
        raise ValueError("PAYMENTS=stripe needs STRIPE_API_KEY")
    return PROVIDERS[name]


def check_settings(*, dev: bool) -> None:
    """Raise ValueError as `provider` does, and in dev mode for a key to real money.

    There a bare event approves, and a dev server takes events from any page that a browser on this machine shows.
    """
    if provider() is with_stripe and dev and "_live_" in os.environ["STRIPE_API_KEY"]:
        raise ValueError("STRIPE_API_KEY is a live key: in dev mode use a test key, sk_test_... or rk_test_...")


async def issue(
    run_id: str, call_id: str, customer_id: str, order_id: str, amount_cents: int, reason: str
) -> dict[str, Any]:
    """Pay an approved refund. Called again, it asks the provider with the same key, or only tells what happened.

    Returns status "issued" with the amount paid in cents, or "blocked" with the reason; both have their audit row.
    Raises what the provider raises while it is open whether it paid.
    """
    facts = clean([customer_id, ledger.order_key(order_id), amount_cents, reason])

    async def begin(connection: Connection) -> dict[str, Any] | asyncpg.Record:
        # Two runs that refund the same order take turns, so that the second sees what the first did.
        one_order = f"{facts[0]} {facts[1].replace('-', '')}"
        await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", one_order)
        row = await connection.fetchrow(
            "select * from refunds where run_id = $1 and call_id = $2 for update", run_id, call_id
        )
        if row is not None and row["status"] == "blocked":
            return {"status": "blocked", "order_id": row["order_id"], "why": row["outcome"]}
        if row is None or row["status"] in {"pending", "rejected", "expired"}:
            return {"status": "blocked", "order_id": facts[1], "why": "this refund has not been approved"}
        if row["status"] == "issued":
            return _issued(row)
        if row["digest"] != ledger.digest(*facts):
            why = "the refund differs from the one that was approved"
            if row["payment_started_at"] is not None:
                return {"status": "blocked", "order_id": facts[1], "why": why}
            return await ledger.block(connection, row, why)
        if row["payment_started_at"] is not None:
            return row
        if row["approved_cents"] >= rules.refund_limit():
            return await ledger.block(
                connection, row, f"the amount is not below the limit of {rules.refund_limit()} cents"
            )
        other = await connection.fetchval(
            "select status from refunds where customer_id = $1 and replace(order_id, '-', '') = replace($2, '-', '')"
            " and id <> $3 and payment_started_at is not null and status <> 'blocked'",
            facts[0], facts[1], row["id"],
        )  # fmt: skip
        if other is not None:
            done = "has already been refunded" if other == "issued" else "is being refunded already"
            return await ledger.block(connection, row, f"this order {done}")
        await connection.execute("update refunds set payment_started_at = now() where id = $1", row["id"])
        return row

    row = await transaction(begin)
    if isinstance(row, dict):
        return row
    reference, why = None, ""
    try:
        reference = await provider()(
            customer_id=row["customer_id"], order_id=row["order_id"], amount_cents=row["approved_cents"],
            key=ledger.digest(run_id, call_id, row["approved_cents"], row["digest"]),
        )  # fmt: skip
    except DeclinedError as error:
        if isinstance(error, NothingFoundError) and row["payment_started_at"] is not None:
            raise
        why = f"the payment provider declined: {error}"

    async def settle(connection: Connection) -> dict[str, Any]:
        status = await connection.fetchval("select status from refunds where id = $1 for update", row["id"])
        if reference is None and status != "issued":
            return await ledger.block(connection, row, why)
        if status == "approved":
            await connection.execute(
                "update refunds set status = 'issued', settled_at = now(), outcome = $2 where id = $1",
                row["id"], reference,
            )  # fmt: skip
            await audit_in(
                connection, "refund_issued", run_id, f"issue_refund:{call_id}", row["customer_id"],
                refund_id=row["id"], order_id=row["order_id"], amount_cents=row["approved_cents"],
                approved_by=row["decided_by"], reference=reference,
            )  # fmt: skip
        elif status != "issued":
            raise RuntimeError(f"refund {row['id']} was paid ({reference}) while the ledger came to say {status}")
        return _issued(row)

    return await transaction(settle)


def _issued(row: asyncpg.Record) -> dict[str, Any]:
    return {"status": "issued", "order_id": row["order_id"], "amount_cents": row["approved_cents"]}


async def finish_payments() -> int:
    """Ask the provider again about payments whose outcome is open, because the run that began them is gone.

    Returns how many there were. Raises what the provider raises, after all were asked.
    """
    rows = await fetch(
        "select * from refunds where status = 'approved' and payment_started_at < now() - interval '10 minutes'"
        " order by id"
    )
    facts = ("run_id", "call_id", "customer_id", "order_id", "amount_cents", "reason")
    outcomes = await asyncio.gather(*(issue(*(row[name] for name in facts)) for row in rows), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return len(rows)
