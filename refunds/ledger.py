"""The refund ledger: the truth about every requested refund, from the request to the money.

A row lives pending -> approved | rejected | expired -> issued | blocked; triggers in the database refuse anything else
and write the history. Every change is one transaction, conditional on the state it starts from, so that doing it again
changes nothing. The way from a yes to the money is in `payments.py`.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from db import Connection, audit_in, clean, fetch, transaction

WINDOW = timedelta(hours=4)


def order_key(order_id: str) -> str:
    """One spelling per order: "Order #a 1001" and "A-1001" are the same. Empty when nothing is left of it."""
    key = re.sub(r"[^A-Z0-9]+", "-", unicodedata.normalize("NFKC", order_id).upper()).strip("-")
    return re.sub(r"^(?:(?:ORDER|NUMBER|NO|NR)-)+(?=.*\d)", "", key)


def digest(*facts: str | int) -> str:
    """SHA-256 over facts: customer, order, amount in cents and reason are what an approver is shown."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


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
    refund_id: int, shown: str, *, approved: bool, by: str, note: str = "", amount_cents: int | None = None, key: str
) -> str | None:
    """Record a person's decision on a pending refund. None if it stands, else why it was refused; that is recorded too.

    `shown` is the digest of what the person saw. `amount_cents` lowers an approved amount. `key` names this decision:
    delivered again, it still stands; another amount or note under the same key is another decision.
    """
    decision = "approved" if approved else "rejected"

    async def work(connection: Connection) -> str | None:
        row = await connection.fetchrow(
            "select *, now() >= expires_at as late from refunds where id = $1 for update", refund_id
        )
        if row is not None:
            cents = (row["amount_cents"] if amount_cents is None else amount_cents) if approved else None
            stands = [row[name] for name in ("decision_key", "decision", "approved_cents", "decision_note")]
            if stands == [clean(key), decision, cents, clean(note)]:
                return None
        refusal = await _refusal(connection, row, shown, amount_cents, clean(key))
        if refusal is not None:
            await connection.execute(
                "insert into refund_history (refund_id, event, actor, why) values ($1, 'decision refused', $2, $3)",
                row and row["id"], clean(by), refusal,
            )  # fmt: skip
            return refusal
        await connection.execute(
            "update refunds set status = $2, decision = $2, decided_by = $3, decided_at = now(), decision_note = $4,"
            " approved_cents = case when $2 = 'approved' then coalesce($5, amount_cents) end, decision_key = $6"
            " where id = $1",
            refund_id, decision, *clean([by, note]), amount_cents, clean(key),
        )  # fmt: skip
        return None

    return await transaction(work)


async def _refusal(
    connection: Connection, row: asyncpg.Record | None, shown: str, amount_cents: int | None, key: str
) -> str | None:
    # Two deliveries of one key at once take turns.
    await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 1))", key)
    used = await connection.fetchval("select exists (select from refunds where decision_key = $1)", key)
    if row is None:
        return "there is no such refund"
    reasons = {
        f"it was already {row['decision']} by {row['decided_by']}": row["decision"] is not None,
        f"it is {row['status']}: {row['outcome']}": row["status"] != "pending",
        "the time for a decision is up": row["late"],
        "it is not the refund that was shown": shown != row["digest"],
        f"the amount must be above 0 and at most {row['amount_cents']} cents": not (
            amount_cents is None or 0 < amount_cents <= row["amount_cents"]
        ),
        "this decision was already used for another refund": used,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


async def oldest_pending(request_id: object, customer_id: object) -> dict[str, Any] | None:
    """The oldest pending refund of this request, or of this customer when no request is named: id and digest."""
    column, value = ("customer_id", customer_id) if request_id is None else ("request_id", request_id)
    rows = await fetch(
        f"select id, digest from refunds where {column} = $1 and status = 'pending' and now() < expires_at"  # noqa: S608
        " order by id limit 1",
        clean(str(value)),
    )
    return rows[0] if rows else None


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


async def expire(run_id: str, *, overdue_only: bool, calls: Sequence[str] | None = None) -> None:
    """Close what nobody decided in time (`overdue_only`: by the database's clock). A decision made before stands.

    `calls` are those that were waited for (None: all of the run).
    """
    await fetch(
        "update refunds set status = 'expired', decision = 'expired', decided_by = 'nobody', decided_at = now(),"
        " decision_note = 'nobody decided in time'"
        " where run_id = $1 and status = 'pending' and (expires_at <= now() or not $2)"
        " and (call_id = any($3) or $3 is null) returning id",
        run_id, overdue_only, clean(calls),
    )  # fmt: skip


async def block_the_rest(run_id: str, why: str, *, pending: bool = False, calls: Sequence[str] | None = None) -> None:
    """Close the run's decided rows (`pending`: the undecided too) that did not end in money, with their audit rows.

    `calls` are those whose turn is over (None: all of the run).

    `why` explains a row that was approved or pending; a rejected or expired one explains itself. A payment that was
    begun stays open: only the provider knows, and `payments.finish_payments` asks.
    """

    async def work(connection: Connection) -> None:
        rows = await connection.fetch(
            "select * from refunds where run_id = $1 and settled_at is null and payment_started_at is null"
            " and (decision is not null or $2) and (call_id = any($3) or $3 is null) order by id for update",
            run_id, pending, clean(calls),
        )  # fmt: skip
        for row in rows:
            explained = row["status"] in {"rejected", "expired"}
            await block(connection, row, row["decision_note"] or row["status"] if explained else why)

    await transaction(work)


async def block(connection: Connection, row: asyncpg.Record, why: str) -> dict[str, Any]:
    """Close one row without money, in the caller's transaction; its outcome, as the agent is told it."""
    changed = await connection.fetchval(
        "update refunds set status = 'blocked', settled_at = now(), outcome = $2 where id = $1 and settled_at is null"
        " returning id",
        row["id"], why,
    )  # fmt: skip
    if changed is not None:
        await audit_in(
            connection, "refund_blocked", row["run_id"], f"block_refund:{row['call_id']}", row["customer_id"],
            refund_id=row["id"], order_id=row["order_id"], amount_cents=row["amount_cents"],
            decision=row["decision"], decided_by=row["decided_by"], why=why,
        )  # fmt: skip
    return {"status": "blocked", "order_id": row["order_id"], "why": why}


async def close_abandoned() -> int:
    """Close, a day after their time was up, the refunds that no run acts on any more; how many runs that were.

    The engine lost the run, or cancelled it while the step that opens the refund was running.
    """
    rows = await fetch(
        "select distinct run_id from refunds where settled_at is null and payment_started_at is null"
        " and expires_at < now() - interval '1 day' order by run_id"
    )
    for row in rows:
        await expire(row["run_id"], overdue_only=True)
        await block_the_rest(row["run_id"], "no run was left to carry it out")
    return len(rows)


async def decided_but_not_applied() -> list[dict[str, Any]]:
    """Rows whose decision is older than a minute and whose run has not acted on it: their wake-up may be lost."""
    return await fetch(
        "select id, request_id, decision from refunds"
        " where settled_at is null and decision is not null and payment_started_at is null"
        " and decided_at between now() - interval '1 day' and now() - interval '1 minute' order by id"
    )
