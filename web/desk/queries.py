"""What the desk reads: nothing is counted, every page is one index range, and a page is the same number of queries
however many requests it shows.
"""

import json
from typing import Any, get_args

import asyncpg

from db import DROPPED, AuditAction, clean, fetch

# What a database that is away, full, or not migrated raises.
AWAY = (*DROPPED, asyncpg.PostgresError)

PAGE = 25
AUDIT_PAGE = 50
AUDIT_ACTIONS = get_args(AuditAction)
# An email may have 100,000 characters. In a list its beginning is enough; a page of its own shows all of it.
PREVIEW_CHARS = 4_000
EARLIER_MAX = 10

# The refund, its customer, the email that asked, and what this customer and this order were refunded before.
_REQUEST = """
select r.*, c.email, c.tier, m.created_at as received_at, length(m.detail->>'email_text') as email_chars,
       left(m.detail->>'email_text', $1) as email_text,
       extract(epoch from r.expires_at - now())::float8 as seconds_left,
       coalesce(earlier.refunds, '[]') as earlier,
       exists (select from refunds o where o.customer_id = r.customer_id and o.id <> r.id
               and replace(o.order_id, '-', '') = replace(r.order_id, '-', '')
               and o.payment_started_at is not null and o.status <> 'blocked') as order_was_paid
from refunds r
join customers c on c.id = r.customer_id
left join audit_log m on m.key = r.run_id || ':audit-received'
left join lateral (
    select jsonb_agg(jsonb_build_object('id', id, 'order_id', order_id, 'cents', approved_cents)
                     order by settled_at desc)
    from (select id, order_id, approved_cents, settled_at from refunds i
          where i.customer_id = r.customer_id and i.status = 'issued' and i.id <> r.id
          order by settled_at desc limit $2) newest
) earlier (refunds) on true
"""


async def waiting(after: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """A page of undecided refunds, soonest deadline first, from behind refund `after`; whether more follow."""
    position = "and (r.expires_at, r.id) > ((select expires_at from refunds where id = $4), $4)"
    rows = await fetch(
        f"{_REQUEST} where r.status = 'pending' and r.expires_at > now() {position if after else ''}"
        " order by r.expires_at, r.id limit $3",
        PREVIEW_CHARS, EARLIER_MAX, PAGE + 1, *([after] if after else []),
    )  # fmt: skip
    return [_with_earlier(row) for row in rows[:PAGE]], len(rows) > PAGE


async def one(refund_id: int) -> dict[str, Any] | None:
    """One refund, decided or not, with the whole email."""
    rows = await fetch(f"{_REQUEST} where r.id = $3", 1_000_000, EARLIER_MAX, refund_id)
    return _with_earlier(rows[0]) if rows else None


def _with_earlier(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"earlier": json.loads(row["earlier"])}


async def history(refund_id: int) -> list[dict[str, Any]]:
    """What happened to a refund, refused decisions too: event, actor, why, at; the newest 200, oldest first."""
    rows = await fetch(
        "select event, actor, why, at from refund_history where refund_id = $1 order by id desc limit 200", refund_id
    )
    return rows[::-1]


async def version() -> tuple[str, int | None]:
    """A text that is another one once a refund changed or ran out of time; the id of the refund that is due next."""
    [row] = await fetch(
        "select coalesce((select max(id) from refund_history), 0) as changes,"
        " (select id from refunds where status = 'pending' and expires_at > now()"
        "  order by expires_at, id limit 1) as next"
    )
    return f"{row['changes']}-{row['next'] or 0}", row["next"]


async def no_longer_waiting(refund_ids: list[int]) -> list[dict[str, Any]]:
    """Those of these refunds that cannot be decided any more."""
    return await fetch(
        "select *, extract(epoch from expires_at - now())::float8 as seconds_left from refunds"
        " where id = any($1) and (status <> 'pending' or expires_at <= now()) order by id",
        refund_ids,
    )


async def without_outcome() -> list[dict[str, Any]]:
    """Payments that were begun ten minutes ago or earlier and whose provider has not answered; the oldest 20."""
    return await fetch(
        "select id, customer_id, order_id, approved_cents, payment_started_at from refunds where status = 'approved'"
        " and payment_started_at < now() - interval '10 minutes' order by payment_started_at limit 20"
    )


async def decided(before: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """A page of decided refunds, newest decision first, from behind refund `before`; whether more follow."""
    position = "and (decided_at, id) < ((select decided_at from refunds where id = $2), $2)"
    rows = await fetch(
        "select *, extract(epoch from expires_at - now())::float8 as seconds_left from refunds"  # noqa: S608
        f" where decision is not null {position if before else ''} order by decided_at desc, id desc limit $1",
        PAGE + 1, *([before] if before else []),
    )  # fmt: skip
    return rows[:PAGE], len(rows) > PAGE


async def audit(
    customer: str | None, run: str | None, action: str | None, before: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """A page of the audit trail, newest first, from behind row `before`; whether more follow. None is any."""
    # The indexes of the filters are in the order of id + 0; migrations/0003_approval_desk.sql says why.
    key = "id" if customer is run is action is None else "id + 0"
    filters = {"customer_id =": customer, "run_id =": run, "action =": action, f"{key} <": before}
    given = [(column, clean(value)) for column, value in filters.items() if value is not None]
    where = " and ".join(f"{column} ${number}" for number, (column, _) in enumerate(given, 3))
    rows = await fetch(
        "select id, action, customer_id, run_id, created_at, left(detail::text, $2) as detail,"  # noqa: S608
        f" length(detail::text) as detail_chars from audit_log {'where ' if where else ''}{where}"
        f" order by {key} desc limit $1",
        AUDIT_PAGE + 1, PREVIEW_CHARS, *(value for _, value in given),
    )  # fmt: skip
    return rows[:AUDIT_PAGE], len(rows) > AUDIT_PAGE


async def audit_entry(entry_id: int) -> dict[str, Any] | None:
    """One row of the audit trail with its whole detail."""
    rows = await fetch(
        "select id, action, customer_id, run_id, created_at, detail, 0 as detail_chars from audit_log where id = $1",
        entry_id,
    )
    return rows[0] if rows else None


async def not_applied() -> list[dict[str, Any]]:
    """The id and request_id of every refund whose decision its run has not acted on; a day later it is given up."""
    return await fetch(
        "select id, request_id from refunds where settled_at is null and decision is not null"
        " and payment_started_at is null and decided_at > now() - interval '1 day' order by id"
    )
