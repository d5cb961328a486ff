"""The refund ledger: the truth about every requested refund, from the request to the money.

A row lives pending -> approved | rejected | expired -> issued | blocked. Every change is one transaction, conditional
on the state it starts from, so that doing it again changes nothing. Only `issue` moves money, and it believes the row,
never its caller: there must be a recorded yes to exactly this customer, order, amount and reason.
"""

import hashlib
import json
import re
import unicodedata
from datetime import timedelta
from typing import Any

import asyncpg

from db import Connection, audit_in, clean, fetch, transaction

WINDOW = timedelta(hours=4)


def order_key(order_id: str) -> str:
    """One spelling per order: "Order #a 1001" and "A-1001" are the same. Empty when nothing is left of it."""
    key = re.sub(r"[^A-Z0-9]+", "-", unicodedata.normalize("NFKC", order_id).upper()).strip("-")
    return re.sub(r"^(?:(?:ORDER|NUMBER|NO|NR)-)+(?=.*\d)", "", key)


def digest(customer_id: str, order_id: str, amount_cents: int, reason: str) -> str:
    """SHA-256 of what an approver is shown; the money is bound to it."""
    return hashlib.sha256(json.dumps([customer_id, order_id, amount_cents, reason]).encode()).hexdigest()


async def open_requests(run_id: str, request_id: str, customer_id: str, asked: list[dict[str, Any]]) -> None:
    """Write one pending row per refund that the agent asked for; rows already there stay as they are.

    Each of `asked` has call_id, order_id, amount_cents (above 0) and reason.
    """

    async def work(connection: Connection) -> None:
        for refund in asked:
            facts = clean([customer_id, refund["order_id"], refund["amount_cents"], refund["reason"]])
            await connection.execute(
                "insert into refunds"
                " (run_id, request_id, call_id, customer_id, order_id, amount_cents, reason, digest, expires_at)"
                " values ($1, $2, $3, $4, $5, $6, $7, $8, now() + $9) on conflict (run_id, call_id) do nothing",
                *clean([run_id, request_id, refund["call_id"]]), *facts, digest(*facts), WINDOW,
            )  # fmt: skip

    await transaction(work)


async def decide(
    refund_id: int, *, approved: bool, by: str, note: str = "", amount_cents: int | None = None, key: str | None = None
) -> bool:
    """Record a person's decision on a pending refund. True if it was recorded by this call.

    False changes nothing: the refund is unknown, already decided or past its time, the amount (in cents, lowered by
    the approver) is above the one asked for or below 1, or a decision with this `key` is already recorded.
    """
    if amount_cents is not None and not 0 < amount_cents < 2**63:
        return False
    try:
        recorded = await fetch(
            "update refunds set status = $2, decision = $2, decided_by = $3, decided_at = now(), decision_note = $4,"
            " approved_cents = case when $2 = 'approved' then coalesce($5, amount_cents) end, decision_key = $6"
            " where id = $1 and status = 'pending' and now() < expires_at"
            " and coalesce($5, amount_cents) <= amount_cents returning id",
            refund_id, "approved" if approved else "rejected", *clean([by, note]), amount_cents, clean(key),
        )  # fmt: skip
    except asyncpg.UniqueViolationError:  # The key.
        return False
    return bool(recorded)


async def oldest_pending(request_id: object, customer_id: object) -> int | None:
    """The id of the oldest pending refund of this request, or of this customer when no request is named."""
    column, value = ("customer_id", customer_id) if request_id is None else ("request_id", request_id)
    rows = await fetch(
        f"select id from refunds where {column} = $1 and status = 'pending' order by id limit 1",  # noqa: S608
        clean(str(value)),
    )
    return rows[0]["id"] if rows else None


async def of_run(run_id: str) -> list[dict[str, Any]]:
    """The run's rows in the order they were asked for, with `seconds_left` until a pending one expires."""
    return await fetch(
        "select *, ceil(extract(epoch from expires_at - now()))::int as seconds_left"
        " from refunds where run_id = $1 order by id",
        run_id,
    )


async def of_customer(customer_id: str) -> list[dict[str, Any]]:
    """What the customer was refunded so far, and what waits: order_id, amount_cents, status."""
    return await fetch(
        "select order_id, coalesce(approved_cents, amount_cents) as amount_cents, status"
        " from refunds where customer_id = $1 order by id desc limit 20",
        customer_id,
    )


async def expire(run_id: str, *, overdue_only: bool) -> None:
    """Close what nobody decided in time (`overdue_only`: by the database's clock). A decision made before stands."""
    await fetch(
        "update refunds set status = 'expired', decision = 'expired', decided_by = 'nobody', decided_at = now(),"
        " decision_note = 'nobody decided in time'"
        " where run_id = $1 and status = 'pending' and (expires_at <= now() or not $2) returning id",
        run_id,
        overdue_only,
    )


async def issue(
    run_id: str, call_id: str, customer_id: str, order_id: str, amount_cents: int, reason: str
) -> dict[str, Any]:
    """Pay an approved refund; the ledger change and its audit row are one transaction. Called again, it pays nothing.

    Returns status "issued" with the amount paid in cents, or "blocked" with the reason, which also has its audit row.
    """
    order_id = order_key(order_id)

    async def work(connection: Connection) -> dict[str, Any]:
        # Two runs that refund the same order take turns, so that the second sees what the first did.
        one_order = f"{customer_id} {order_id.replace('-', '')}"
        await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", one_order)
        row = await connection.fetchrow(
            "select * from refunds where run_id = $1 and call_id = $2 for update", run_id, call_id
        )
        paid = await connection.fetchval(
            "select id from refunds where customer_id = $1 and replace(order_id, '-', '') = replace($2, '-', '')"
            " and status = 'issued'",
            customer_id, order_id,
        )  # fmt: skip
        if row is None or row["status"] in {"pending", "rejected", "expired", "blocked"}:
            return {"status": "blocked", "order_id": order_id, "why": "this refund has not been approved"}
        if row["status"] == "issued":
            return {"status": "issued", "order_id": row["order_id"], "amount_cents": row["approved_cents"]}
        if row["digest"] != digest(*clean([customer_id, order_id, amount_cents, reason])):
            return await _block(connection, row, "the refund differs from the one that was approved")
        if paid is not None:
            return await _block(connection, row, "this order has already been refunded")
        await connection.execute("update refunds set status = 'issued', settled_at = now() where id = $1", row["id"])
        await audit_in(
            connection, "refund_issued", run_id, f"issue_refund:{call_id}", customer_id,
            refund_id=row["id"], order_id=order_id, amount_cents=row["approved_cents"], approved_by=row["decided_by"],
        )  # fmt: skip
        return {"status": "issued", "order_id": order_id, "amount_cents": row["approved_cents"]}

    return await transaction(work)


async def block_the_rest(run_id: str, why: str, *, pending: bool = False) -> None:
    """Close the run's decided rows (`pending`: the undecided too) that did not end in money, with their audit rows.

    `why` explains a row that was approved or pending; a rejected or expired one explains itself.
    """

    async def work(connection: Connection) -> None:
        rows = await connection.fetch(
            "select * from refunds where run_id = $1 and settled_at is null and (decision is not null or $2)"
            " order by id for update",
            run_id, pending,
        )  # fmt: skip
        for row in rows:
            explained = row["status"] in {"rejected", "expired"}
            await _block(connection, row, row["decision_note"] or row["status"] if explained else why)

    await transaction(work)


async def _block(connection: Connection, row: asyncpg.Record, why: str) -> dict[str, Any]:
    await connection.execute(
        "update refunds set status = 'blocked', settled_at = now(), outcome = $2 where id = $1", row["id"], why
    )
    await audit_in(
        connection, "refund_blocked", row["run_id"], f"block_refund:{row['call_id']}", row["customer_id"],
        refund_id=row["id"], order_id=row["order_id"], amount_cents=row["amount_cents"],
        decision=row["decision"], decided_by=row["decided_by"], why=why,
    )  # fmt: skip
    return {"status": "blocked", "order_id": row["order_id"], "why": why}


async def decided_but_not_applied() -> list[dict[str, Any]]:
    """Rows whose decision is older than a minute and whose run has not acted on it: their wake-up may be lost."""
    return await fetch(
        "select id, request_id, decision from refunds"
        " where settled_at is null and decision is not null and decided_at < now() - interval '1 minute' order by id"
    )
