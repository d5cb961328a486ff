"""What a person is shown beside a refund: what else the customer was refunded, what looks like it, and the sums."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import db
from refunds.lookalikes import alike

RECENT = timedelta(days=30)
ELSEWHERE_MAX = 200
# From this amount on a refund is said to be unusual, which is all that happens.
UNUSUAL_CENTS = 50_000


class Sums(TypedDict):
    """Amounts in cents, and how many refunds the email asks for. What was declined or not paid counts nowhere."""

    email_cents: int
    email_count: int
    customer_cents: int
    recent_cents: int


async def refunds_of(connection: db.Connection, customer_ids: Iterable[str]) -> list[dict[str, Any]]:
    """The refunds of these customers that were approved or issued, and those that wait; the newest come first.

    Of one customer there are 200 of the first kind and 50 of the second at most; migrations/0012_turns.sql says why.
    """
    rows = await connection.fetch("select * from refunds_beside($1)", list(customer_ids))
    return [dict(row) for row in rows]


async def elsewhere(connection: db.Connection, order_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Whoever was refunded for orders of exactly these names; the newest come first.

    An order belongs to one customer, so a person has to see that another one was refunded for it. It is for the page
    alone: a payment does not depend on it, because two shops may count their orders alike.
    """
    rows = await connection.fetch(
        "select * from refunds where order_id = any($1) and status in ('approved', 'issued') order by id desc limit $2",
        list(order_ids),
        ELSEWHERE_MAX,
    )
    return [dict(row) for row in rows]


def similar(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The customer's other refunds of an order that looks like this one's."""
    return [other for other in _others(refund, refunds) if alike(refund["order_id"], other["order_id"])]


def to_pay_again(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The similar ones that were approved, whether they are paid yet or not: this one would be paid on top of them."""
    return [other for other in similar(refund, refunds) if other["status"] != "pending"]


def seen(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> list[int]:
    """The ids on which a decision rests: the customer's paid refunds, and the similar ones that were approved."""
    paid = {other["id"] for other in _others(refund, refunds) if other["payment_started_at"] is not None}
    return sorted(paid | {other["id"] for other in to_pay_again(refund, refunds)})


def approved_before(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The customer's other refunds that were approved, whether they are paid yet or not."""
    return [other for other in _others(refund, refunds) if other["status"] != "pending"]


def sums(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> Sums:
    """What this email asks for in all, and what the customer was refunded besides, ever and in the last 30 days."""
    since = datetime.now(UTC) - RECENT
    approved = approved_before(refund, refunds)
    email = [other for other in _others(refund, refunds) if other["run_id"] == refund["run_id"]]
    return {
        "email_cents": refund["amount_cents"] + sum(other["amount_cents"] for other in email),
        "email_count": 1 + len(email),
        "customer_cents": sum(other["approved_cents"] for other in approved),
        "recent_cents": sum(other["approved_cents"] for other in approved if other["decided_at"] > since),
    }


def _others(refund: Mapping[str, Any], refunds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [other for other in refunds if other["customer_id"] == refund["customer_id"] and other["id"] != refund["id"]]


def in_words(refund: Mapping[str, Any]) -> str:
    """A refund that was approved, for people: which one, how much, which order, when and by whom."""
    cents = refund["approved_cents"]
    return (
        f"refund {refund['id']} of ${cents // 100:,}.{cents % 100:02} for order {refund['order_id']},"
        f" approved {refund['decided_at']:%Y-%m-%d} by {refund['decided_by']}"
    )
