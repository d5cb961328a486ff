"""The refund ledger: the truth about every requested refund, from the request to the money.

A row goes from pending to approved, rejected or expired, and from there to issued or blocked. Triggers in the database
refuse anything else and write the history. Every change is one transaction that depends on the state it starts from, so
that doing it again changes nothing. The way from a yes to the money is in `payments.py`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

import settings
from db import Connection, clean, fetch, record_in, transaction
from refunds import beside

# A refund that nobody decides in this time expires.
WINDOW = timedelta(hours=4)
DECIDE = """
    update refunds set status = $2, decision = $2, decided_by = $3, decided_at = now(), decision_note = $4,
        approved_cents = $5, decision_key = $6, also_paid = $7
    where id = $1
"""
IN_TURN = "select late, used, (refund).* from refunds_in_turn({one}, $2)"
# A decision that is delivered again finds the refund that it was made on.
OLDEST = """
    coalesce(
        (select id from refunds where {column} = $1 and decision_key = $2),
        (select id from refunds where {column} = $1 and status = 'pending' and now() < expires_at order by id limit 1)
    )
"""
APPROVE_FIRST = """
    insert into first_approvals (refund_id, shown, decided_by, approved_cents, decision_note, decision_key)
    values ($1, $2, $3, $4, $5, $6)
"""
NO_SUCH_REFUND = "there is no such refund"


def digest(*facts: object) -> str:
    """SHA-256 of facts that are plain JSON. Of a refund: customer, order, amount in cents and reason."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def shown(refund: Mapping[str, Any], refunds: list[dict[str, Any]], first: Mapping[str, Any] | None = None) -> str:
    """The digest of what a person decides on: the refund, which others `beside` shows, and of two approvals the first.

    `refunds` are the customer's, as `beside.refunds_of` reads them.
    """
    facts = [refund["digest"], beside.seen(refund, refunds)]
    return digest(*facts) if first is None else digest(*facts, first["decided_by"])


async def first_approvals(
    connection: Connection, rows: Sequence[Mapping[str, Any]], refunds: list[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """By refund, the first of the two approvals that a large one needs, where somebody has given it.

    One that was given before another refund was paid, or approved for a similar order, does not count.
    """
    now = {row["id"]: shown(row, refunds) for row in rows if needs_two(row)}
    if not now:
        return {}
    found = await connection.fetch("select * from first_approvals where refund_id = any($1)", list(now))
    return {first["refund_id"]: dict(first) for first in found if first["shown"] == now[first["refund_id"]]}


def needs_two(refund: Mapping[str, Any]) -> bool:
    """Whether the refund asks for so much that two reviewers have to approve it."""
    limit = settings.second_approver_cents()
    return limit is not None and refund["amount_cents"] >= limit


async def open_requests(run_id: str, request_id: str, customer_id: str, asked: list[dict[str, Any]]) -> None:
    """Write one pending row for each refund that the agent asked for; a row that is already there stays as it is.

    Each of `asked` has call_id, order_id, amount_cents (above 0) and reason.
    """
    rows = []
    for refund in asked:
        facts = clean({name: refund[name] for name in ("order_id", "amount_cents", "reason")})
        of_facts = digest(clean(customer_id), *facts.values())
        rows.append(facts | {"call_id": clean(refund["call_id"]), "digest": of_facts})
    await fetch(
        "insert into refunds"
        " (run_id, request_id, customer_id, expires_at, call_id, order_id, amount_cents, reason, digest)"
        " select $1, $2, $3, now() + $4::interval, asked.* from jsonb_to_recordset($5::jsonb)"
        " as asked (call_id text, order_id text, amount_cents bigint, reason text, digest text)"
        " on conflict (run_id, call_id) do nothing",
        *clean([run_id, request_id, customer_id]),
        WINDOW,
        json.dumps(rows),
    )


@dataclass(frozen=True)
class Decision:
    """A person's yes or no to a refund, and who it was.

    `key` names the decision: delivered again it still stands, while another amount or note under the same key makes it
    another one. `amount_cents` lowers an approved amount. With `also_paid` the refund is to be paid although a similar
    one was approved; without it such an approval is refused.
    """

    approved: bool
    by: str
    key: str
    note: str = ""
    amount_cents: int | None = None
    also_paid: bool = False


async def decide(refund_id: int, was_shown: str, decision: Decision) -> str | None:
    """Record a decision on a pending refund. Returns None if it stands, else why it was refused.

    `was_shown` is the digest of what the person saw, see `shown`. Where two reviewers are needed, the first yes leaves
    the refund pending, and the second can lower its amount. A decision that is refused is written to the history too.
    """
    one = "$1::bigint"
    return await transaction(lambda connection: _decide(connection, one, refund_id, was_shown, decision))


async def decide_oldest(request_id: object, customer_id: object, decision: Decision) -> str | None:
    """Record a decision on the oldest pending refund of a request, or of a customer when no request is named.

    Returns what `decide` returns, and None where nothing is pending. Nobody was shown anything, so this is for dev mode
    alone.
    """
    column, value = ("customer_id", customer_id) if request_id is None else ("request_id", request_id)
    oldest = OLDEST.format(column=column)
    return await transaction(lambda connection: _decide(connection, oldest, clean(str(value)), None, decision))


async def _decide(
    connection: Connection, which: str, value: object, was_shown: str | None, decision: Decision
) -> str | None:
    """Decide on the refund whose id the SQL of `which` finds by `value`, $1, and the decision's key, $2.

    If nothing was shown (None), nothing is compared, and it is no mistake that there is no such refund.
    """
    by, note, key = clean([decision.by, decision.note, decision.key])
    found = await connection.fetch(IN_TURN.format(one=which), value, key)
    if not found:
        if was_shown is not None:
            await _remember(connection, None, "decision refused", by, NO_SUCH_REFUND)
            return NO_SUCH_REFUND
        return None
    row, *refunds = map(dict, found)
    first = (await first_approvals(connection, [row], refunds)).get(row["id"])
    most = first["approved_cents"] if first else row["amount_cents"]
    cents = None
    if decision.approved:
        cents = most if decision.amount_cents is None else decision.amount_cents
    if [key, cents, note] in [_as_decided(made) for made in (row, first) if made]:
        return None
    again = beside.to_pay_again(row, refunds) if decision.approved else []
    refusal = _refusal(row)
    if refusal is not None:
        pass
    elif was_shown is not None and was_shown != shown(row, refunds, first):
        refusal = "it is not what was shown: the form was for another refund, or another one was paid meanwhile"
    elif decision.amount_cents is not None and not 0 < decision.amount_cents <= most:
        refusal = f"the amount must be above 0 and at most {most} cents"
    elif decision.approved and first and first["decided_by"] == by:
        refusal = "you have approved it already, and another reviewer has to approve it too"
    elif again and not decision.also_paid:
        refusal = f"it looks like {beside.in_words(again[0])}: say that it is to be paid as well"
    if refusal is not None:
        await _remember(connection, row["id"], "decision refused", by, refusal)
    elif cents is not None and first is None and needs_two(row):
        await connection.execute(APPROVE_FIRST, row["id"], shown(row, refunds), by, cents, note, key)
        why = f"{cents} of {row['amount_cents']} cents: {note or 'no reason given'}"
        await _remember(connection, row["id"], "first of two approvals", by, why)
    else:
        await _record(connection, row["id"], by, note, cents, key, again)
    return refusal


async def _record(
    connection: Connection, refund_id: int, by: str, note: str, cents: int | None, key: str, again: list[dict[str, Any]]
) -> None:
    """Write the decision: the cents that are approved, or None for a no. `again` is paid already or about to be."""
    decision = "rejected" if cents is None else "approved"
    named = [other["id"] for other in again]
    await connection.execute(DECIDE, refund_id, decision, by, note, cents, key, named)
    for other in again:
        await _remember(connection, refund_id, "to be paid as well", by, f"it looks like {beside.in_words(other)}")


async def _remember(connection: Connection, refund_id: int | None, event: str, actor: str, why: str) -> None:
    await connection.execute(
        "insert into refund_history (refund_id, event, actor, why) values ($1, $2, $3, $4)",
        refund_id,
        event,
        actor,
        why,
    )


def _as_decided(row: dict[str, Any]) -> list[Any]:
    return [row["decision_key"], row["approved_cents"], row["decision_note"]]


def _refusal(row: dict[str, Any]) -> str | None:
    """Why nobody can decide on the refund any more, or not with this key; None if somebody can."""
    if row["decision"] is not None:
        return f"it was already {row['decision']} by {row['decided_by']}"
    if row["status"] != "pending":
        return f"it is {row['status']}: {row['outcome']}"
    if row["late"]:
        return "the time for a decision is up"
    if row["used"]:
        return "this decision was already used for another refund"
    return None


async def of_run(run_id: str) -> list[dict[str, Any]]:
    """The run's rows in the order they were asked for, with `seconds_left` until a pending one expires."""
    return await fetch(
        "select *, ceil(extract(epoch from expires_at - now()))::int as seconds_left"
        " from refunds where run_id = $1 order by id",
        run_id,
    )


async def waiting(run_id: str, calls: Sequence[str]) -> list[dict[str, Any]]:
    """Those of the run's refunds with these call ids that nobody has decided, each with its customer's tier."""
    return await fetch(
        "select refunds.*, tier from refunds join customers on customers.id = customer_id"
        " where run_id = $1 and call_id = any($2) and status = 'pending' order by refunds.id",
        run_id,
        clean(calls),
    )


async def account(customer_id: str) -> dict[str, Any] | None:
    """The customer's id, email and tier, and as `refunds` the newest 20: order_id, amount_cents, status of each.

    Returns None when there is no such customer.
    """
    rows = await fetch(
        "select id, email, tier, (select json_agg(refund) from ("
        "  select order_id, coalesce(approved_cents, amount_cents) as amount_cents, status from refunds"
        "  where customer_id = customers.id order by refunds.id desc limit 20"
        " ) refund) as refunds from customers where id = $1",
        clean(customer_id),
    )
    return rows[0] | {"refunds": json.loads(rows[0]["refunds"] or "[]")} if rows else None


async def expire(run_id: str, *, overdue_only: bool, calls: Sequence[str] | None = None) -> None:
    """Close the run's pending refunds, with `overdue_only` those whose time is up by the database's clock.

    A decision that was made before stands. `calls` narrows it to the refunds that were waited for.
    """
    await fetch(
        "update refunds set status = 'expired', decision = 'expired', decided_by = 'nobody', decided_at = now(),"
        " decision_note = 'nobody decided in time'"
        " where run_id = $1 and status = 'pending' and (expires_at <= now() or not $2)"
        " and (call_id = any($3) or $3 is null) returning id",
        run_id,
        overdue_only,
        clean(calls),
    )


async def block_the_rest(run_id: str, why: str, *, pending: bool = False, calls: Sequence[str] | None = None) -> None:
    """Close the run's decided rows that did not end in money, with their audit rows; with `pending` the undecided too.

    `calls` narrows it to the refunds whose turn is over. `why` explains a row that was approved or pending, while a
    rejected or expired one explains itself. A payment that was begun stays open: only the provider knows how it ended,
    and `payments.finish_payments` asks.
    """
    those = (
        "select * from refunds where run_id = $1 and settled_at is null and payment_started_at is null"
        " and (decision is not null or $2) and (call_id = any($3) or $3 is null)"
    )
    if not await fetch(those, run_id, pending, clean(calls)):
        return

    async def work(connection: Connection) -> None:
        for row in await connection.fetch(f"{those} order by id for update", run_id, pending, clean(calls)):
            if row["status"] in {"rejected", "expired"}:
                await block(connection, row, row["decision_note"] or row["status"])
            else:
                await block(connection, row, why)

    await transaction(work)


async def block(connection: Connection, row: asyncpg.Record, why: str) -> dict[str, Any]:
    """Close one row without money, in the caller's transaction; returns its outcome, as the agent is told it."""
    changed = await connection.fetchval(
        "update refunds set status = 'blocked', settled_at = now(), outcome = $2 where id = $1 and settled_at is null"
        " returning id",
        row["id"],
        why,
    )
    if changed is not None:
        await record_in(
            connection,
            "refund_blocked",
            row["run_id"],
            f"block_refund:{row['call_id']}",
            row["customer_id"],
            refund_id=row["id"],
            order_id=row["order_id"],
            amount_cents=row["amount_cents"],
            decision=row["decision"],
            decided_by=row["decided_by"],
            why=why,
        )
    return {"status": "blocked", "order_id": row["order_id"], "why": why}


async def close_abandoned() -> int:
    """Close, a day after their time was up, the refunds that no run acts on any more; returns how many runs that were.

    Their run was lost by the engine, or cancelled while the step that opens the refund was running.
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
    """The rows whose decision is older than a minute while their run has not acted on it: its wake-up may be lost.

    They are 5,000 at most, because the engine takes no more events at once; the others follow when these are applied.
    """
    return await fetch(
        "select id, request_id, decision from refunds"
        " where settled_at is null and decision is not null and payment_started_at is null"
        " and decided_at between now() - interval '1 day' and now() - interval '1 minute' order by id limit 5000"
    )
