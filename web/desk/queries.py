"""What the desk reads from the database.

No query counts rows, and each page of a list is one range of an index, so that long tables do not make a page slow. A
page takes the same number of queries however many requests it shows.
"""

from typing import Any, get_args

import asyncpg

from db import DROPPED, AuditAction, Connection, clean, fetch, transaction
from refunds import beside, ledger

# What asyncpg raises for a database that does not answer, has no connection left, or has no tables yet.
DATABASE_ERRORS = (*DROPPED, asyncpg.PostgresError)

PAGE = 25
AUDIT_PAGE = 50
AUDIT_ACTIONS = get_args(AuditAction)
# An email may have 100,000 characters. A list shows the beginning of it, and the page of its request the whole.
PREVIEW_CHARS = 4_000
WHOLE_CHARS = 1_000_000

# The refund, its customer, and the email that asked for it.
_REQUEST = """
select r.*, c.email, c.tier, m.created_at as received_at, length(m.detail->>'email_text') as email_chars,
       left(m.detail->>'email_text', $1) as email_text, m.detail->>'from' as sender,
       m.detail->>'authentication' as authentication,
       extract(epoch from r.expires_at - now())::float8 as seconds_left
from refunds r
join customers c on c.id = r.customer_id
left join audit_log m on m.key = r.run_id || ':audit-received'
"""
# A refund with the seconds until it expires, for the words that say what became of it.
_REFUND = "select *, extract(epoch from expires_at - now())::float8 as seconds_left from refunds"


async def waiting(after: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """A page of undecided refunds, soonest deadline first, and whether more follow.

    With `after` it begins behind the refund of that id.
    """
    query = f"{_REQUEST} where r.status = 'pending' and r.expires_at > now()"
    arguments = [PREVIEW_CHARS, PAGE + 1]
    if after is not None:
        query += " and (r.expires_at, r.id) > ((select expires_at from refunds where id = $3), $3)"
        arguments.append(after)
    rows = await fetch(f"{query} order by r.expires_at, r.id limit $2", *arguments)
    return await _with_what_is_beside(rows[:PAGE]), len(rows) > PAGE


async def one(refund_id: int) -> dict[str, Any] | None:
    """One refund, decided or not, with the whole email."""
    rows = await _with_what_is_beside(await fetch(f"{_REQUEST} where r.id = $2", WHOLE_CHARS, refund_id))
    return rows[0] if rows else None


async def _with_what_is_beside(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what a person has to see of the customer's other refunds, and the digest of all that is shown."""
    customers = {row["customer_id"] for row in rows}

    orders = {row["order_id"] for row in rows}

    async def work(
        connection: Connection,
    ) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]], list[dict[str, Any]]]:
        found = await beside.refunds_of(connection, customers)
        firsts = await ledger.first_approvals(connection, rows, found)
        return found, firsts, await beside.elsewhere(connection, orders)

    refunds, firsts, same_order = await transaction(work)
    return [
        row
        | {
            "shown": ledger.shown(row, refunds, firsts.get(row["id"])),
            "first": firsts.get(row["id"]),
            "needs_two": ledger.needs_two(row),
            "elsewhere": [
                other
                for other in same_order
                if other["order_id"] == row["order_id"] and other["customer_id"] != row["customer_id"]
            ],
            "unusual": row["amount_cents"] >= beside.UNUSUAL_CENTS,
            "sums": beside.sums(row, refunds),
            "similar": beside.similar(row, refunds),
            "to_pay_again": beside.to_pay_again(row, refunds),
            "earlier": beside.approved_before(row, refunds),
        }
        for row in rows
    ]


async def history(refund_id: int) -> list[dict[str, Any]]:
    """What happened to a refund, refused decisions included: event, actor, why, at. The newest 200, oldest first."""
    rows = await fetch(
        "select event, actor, why, at from refund_history where refund_id = $1 order by id desc limit 200", refund_id
    )
    return rows[::-1]


async def version() -> tuple[str, int | None]:
    """A text that changes whenever a refund changes or runs out of time, and the id of the refund that is due next."""
    [row] = await fetch(
        "select coalesce((select max(id) from refund_history), 0) as changes,"
        " (select id from refunds where status = 'pending' and expires_at > now()"
        "  order by expires_at, id limit 1) as next"
    )
    return f"{row['changes']}-{row['next'] or 0}", row["next"]


async def no_longer_waiting(refund_ids: list[int]) -> list[dict[str, Any]]:
    """Those of these refunds that cannot be decided any more."""
    return await fetch(
        f"{_REFUND} where id = any($1) and (status <> 'pending' or expires_at <= now()) order by id", refund_ids
    )


async def decided(before: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """A page of decided refunds, newest decision first, and whether more follow.

    With `before` it begins behind the refund of that id.
    """
    query = f"{_REFUND} where decision is not null"
    arguments = [PAGE + 1]
    if before is not None:
        query += " and (decided_at, id) < ((select decided_at from refunds where id = $2), $2)"
        arguments.append(before)
    rows = await fetch(f"{query} order by decided_at desc, id desc limit $1", *arguments)
    return rows[:PAGE], len(rows) > PAGE


async def audit(
    customer: str | None, run: str | None, action: str | None, before: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """A page of the audit trail, newest first, and whether more follow. None means any.

    With `before` it begins behind the row of that id.
    """
    chosen = {"customer_id": customer, "run_id": run, "action": action}
    given = {column: clean(value) for column, value in chosen.items() if value is not None}
    # The indexes of the filters are in the order of id + 0; migrations/0003_approval_desk.sql says why.
    order = "id + 0" if given else "id"
    arguments = [AUDIT_PAGE + 1, PREVIEW_CHARS, *given.values()]
    conditions = [f"{column} = ${number}" for number, column in enumerate(given, 3)]
    if before is not None:
        arguments.append(before)
        conditions.append(f"{order} < ${len(arguments)}")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    rows = await fetch(
        "select id, action, customer_id, run_id, created_at, left(detail::text, $2) as detail,"  # noqa: S608
        f" length(detail::text) as detail_chars from audit_log {where} order by {order} desc limit $1",
        *arguments,
    )
    return rows[:AUDIT_PAGE], len(rows) > AUDIT_PAGE


async def audit_entry(entry_id: int) -> dict[str, Any] | None:
    """One row of the audit trail with its whole detail."""
    rows = await fetch(
        "select id, action, customer_id, run_id, created_at, detail from audit_log where id = $1", entry_id
    )
    return rows[0] if rows else None
