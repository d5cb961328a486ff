"""From a recorded yes to the money: the one place that pays.

`issue` believes the ledger and never its caller. There must be an approved row for exactly this customer, order, amount
and reason, and no payment of a similar order that the approver did not know of. The provider is asked with a key that
stays the same for ever, so that a call which is repeated after a crash pays nothing twice (`providers.py`).
"""

import asyncio
from typing import Any

import asyncpg

from db import Connection, clean, fetch, transaction
from refunds import beside, ledger, providers
from refunds.rules import order_as_given

IN_TURN = """
    select (refund).* from refunds_in_turn((select id from refunds where run_id = $1 and call_id = $2), null)
"""
SETTLE = """
    with settled as (
        update refunds set status = 'issued', settled_at = now(), outcome = $2 where id = $1 and status = 'approved'
        returning *
    )
    insert into audit_log (action, key, run_id, customer_id, detail)
    select 'refund_issued', run_id || ':issue_refund:' || call_id, run_id, customer_id, jsonb_build_object(
        'refund_id', id, 'order_id', order_id, 'amount_cents', approved_cents, 'approved_by', decided_by,
        'also_paid', also_paid, 'reference', outcome
    ) from settled on conflict (key) do nothing returning key
"""


async def issue(
    run_id: str, call_id: str, customer_id: str, order_id: str, amount_cents: int, reason: str
) -> dict[str, Any]:
    """Pay an approved refund. Called again, it asks the provider with the same key, or only tells what happened.

    Returns status "issued" with the amount paid in cents, or "blocked" with the reason; both have their audit row.
    Raises what the provider raises while it is open whether it paid.
    """
    facts = clean([customer_id, order_as_given(order_id), amount_cents, reason])
    row = await transaction(lambda connection: _begin(connection, run_id, call_id, facts))
    if isinstance(row, dict):
        return row
    try:
        reference = await providers.provider()(
            customer_id=row["customer_id"],
            order_id=row["order_id"],
            amount_cents=row["approved_cents"],
            key=ledger.digest(run_id, call_id, row["approved_cents"], row["digest"]),
        )
    except providers.DeclinedError as declined:
        why = f"the payment provider declined: {declined}"
        # An earlier try had found the payment, so that it is not found now says nothing about the money.
        if isinstance(declined, providers.NothingFoundError) and row["payment_started_at"] is not None:
            raise
    else:
        return await _settle(row, reference)
    return await transaction(lambda connection: _decline(connection, row, why))


async def _begin(
    connection: Connection, run_id: str, call_id: str, facts: list[Any]
) -> dict[str, Any] | asyncpg.Record:
    """Mark the payment as begun and return the row as it was before; or return what the agent is told instead."""
    _, order_id, _, _ = facts
    found = await connection.fetch(IN_TURN, run_id, call_id)
    row = found[0] if found else None
    if row is not None and row["status"] == "blocked":
        return {"status": "blocked", "order_id": row["order_id"], "why": row["outcome"]}
    if row is None or row["status"] in {"pending", "rejected", "expired"}:
        return {"status": "blocked", "order_id": order_id, "why": "this refund has not been approved"}
    if row["status"] == "issued":
        return _issued(row)
    if row["digest"] != ledger.digest(*facts):
        why = "the refund differs from the one that was approved"
        if row["payment_started_at"] is not None:
            return {"status": "blocked", "order_id": order_id, "why": why}
        return await ledger.block(connection, row, why)
    if row["payment_started_at"] is not None:
        return row
    approved, *others = map(dict, found)
    unknown = _unknown_to_the_approver(approved, others)
    if unknown is not None:
        return await ledger.block(connection, row, f"{beside.in_words(unknown)}, was paid meanwhile and looks the same")
    await connection.execute("update refunds set payment_started_at = now() where id = $1", row["id"])
    return row


def _unknown_to_the_approver(row: dict[str, Any], refunds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A similar refund whose payment was begun, while nobody has said of one of the two that it is paid as well."""
    for other in beside.to_pay_again(row, refunds):
        said = other["id"] in row["also_paid"] or row["id"] in other["also_paid"]
        if other["payment_started_at"] is not None and not said:
            return other
    return None


async def _settle(row: asyncpg.Record, reference: str) -> dict[str, Any]:
    """Write that the provider paid, and its audit row, in one statement."""
    if not await fetch(SETTLE, row["id"], reference):
        [now] = await fetch("select status from refunds where id = $1", row["id"])
        if now["status"] != "issued":
            raise RuntimeError(
                f"refund {row['id']} was paid ({reference}) while the ledger came to say {now['status']}"
            )
    return _issued(row)


async def _decline(connection: Connection, row: asyncpg.Record, why: str) -> dict[str, Any]:
    """Close the refund without money, unless another call of the same key has meanwhile paid."""
    status = await connection.fetchval("select status from refunds where id = $1 for update", row["id"])
    if status == "issued":
        return _issued(row)
    return await ledger.block(connection, row, why)


def _issued(row: asyncpg.Record) -> dict[str, Any]:
    return {"status": "issued", "order_id": row["order_id"], "amount_cents": row["approved_cents"]}


async def unfinished(most: int | None = None) -> list[dict[str, Any]]:
    """The payments that were begun ten minutes ago or earlier and have no outcome: the run that began them is gone.

    The oldest come first; `most` limits how many.
    """
    return await fetch(
        "select * from refunds where status = 'approved' and payment_started_at < now() - interval '10 minutes'"
        " order by payment_started_at, id limit $1",
        most,
    )


async def finish_payments() -> int:
    """Ask the provider again about the unfinished payments.

    Returns how many there were. Raises what the provider raises, after all were asked.
    """
    rows = await unfinished()
    facts = ("run_id", "call_id", "customer_id", "order_id", "amount_cents", "reason")
    outcomes = await asyncio.gather(*(issue(*(row[name] for name in facts)) for row in rows), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return len(rows)
