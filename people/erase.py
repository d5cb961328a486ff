"""Erases what is personal: of one customer when that is asked for, and of everybody after RETENTION_DAYS.

    python -m people.erase cust_001

What remains are facts without a text of anybody's: ids, times, amounts, decisions and who made them, digests of what
was decided, the payment provider's references. So the ledger can still be proven. The database lets such a change
through only in a transaction that says in the audit trail that it erases (migrations/0009). What other systems keep,
and how it is deleted there: docs/data.md.
"""

import argparse
import asyncio
import getpass
import sys
from uuid import uuid4

import db
from people import lost

MOST_AT_ONCE = 5000
# Rows of the audit trail and refunds, of one customer or of a time. An email from somebody whom we did not recognise is
# the customer's if it came from their address.
OF_CUSTOMER = [
    "create temporary table chosen on commit drop as"
    " select a.id, a.run_id, a.detail ->> 'event_id' as event_id from audit_log a left join customers c on c.id = $1"
    " where not a.detail ? 'erased' and a.action <> 'data_erased' and (a.customer_id = $1"
    "  or (a.customer_id is null and position(lower(c.email) in lower(a.detail ->> 'sender')) > 0))",
    "create temporary table settled on commit drop as select id from refunds where customer_id = $1",
]
OLDER_THAN_DAYS = [
    "create temporary table chosen on commit drop as"
    " select a.id, a.run_id, a.detail ->> 'event_id' as event_id from audit_log a"
    " where a.created_at < now() - $1::int * interval '1 day' and not a.detail ? 'erased' and a.action <> 'data_erased'"
    " and not exists (select from needs_person n where n.audit_id = a.id and n.done_at is null)"
    " and not exists (select from unanswered u where u.run_id = a.run_id)"
    " and not exists (select from refunds r where r.run_id = a.run_id and r.settled_at is null)"
    " order by a.created_at limit $2",
    "create temporary table settled on commit drop as"
    " select id from refunds where settled_at < now() - $1::int * interval '1 day' and reason <> '(erased)' limit $2",
]
# What is done to each table, in this order, because the first ones read what the last one erases.
ERASE = {
    "notes of colleagues": (
        "update needs_person set note = '(erased)' where note <> '(erased)' and audit_id in (select id from chosen)"
    ),
    "senders in the inbox": (
        "update inbox set sender = '(erased)' where event is null and sender <> '(erased)'"
        " and event_id in (select event_id from chosen)"
    ),
    "lines of the refunds' history": (
        "update refund_history set why = case event"
        r" when 'approved' then regexp_replace(why, '^(\d+ of \d+ cents: ).*$', '\1(erased)') else '(erased)' end"
        " where event not in ('issued', 'payment begun') and why not like '%(erased)'"
        " and refund_id in (select id from settled)"
    ),
    "notes of first approvals": (
        "update first_approvals set decision_note = '(erased)' where decision_note not in ('', '(erased)')"
        " and refund_id in (select id from settled)"
    ),
    "refunds": (
        "update refunds set reason = '(erased)',"
        " decision_note = case when decision_note <> '' then '(erased)' else decision_note end,"
        " outcome = case status when 'blocked' then '(erased)' else outcome end,"
        " request_id = encode(sha256(convert_to(request_id, 'UTF8')), 'hex')"
        " where reason <> '(erased)' and id in (select id from settled)"
    ),
    # By this the emails are still counted.
    "calls to models": (
        "update model_calls set event_id = encode(sha256(convert_to(event_id, 'UTF8')), 'hex')"
        " where run_id in (select run_id from chosen) and event_id in (select event_id from chosen)"
    ),
    "rows of the audit trail": (
        "update audit_log set detail = '{\"erased\": true}' || coalesce("
        " (select jsonb_object_agg(name, value) from jsonb_each(detail) as part (name, value) where name in"
        "  ('amount_cents', 'decided_by', 'decision', 'delivery', 'last_7_days', 'order_id', 'payments_left_open',"
        "   'reference', 'refund_id')), '{}') where id in (select id from chosen)"
    ),
}
# What has to end first, because it would write the customer's texts again, or because somebody still needs them.
OPEN = {
    "refunds are not settled": "select from refunds where customer_id = $1 and settled_at is null",
    "emails are being answered": (
        "select from unanswered u join audit_log a on a.id = u.audit_id where a.customer_id = $1"
    ),
    "emails wait in the inbox": (
        "select from inbox left join customers c on c.id = $1"
        " where event is not null and (event #>> '{data,customer_id}' = $1 or sender = lower(c.email))"
    ),
    "entries of 'Needs a person' are open": (
        "select from needs_person n join audit_log a on a.id = n.audit_id left join customers c on c.id = $1"
        " where n.done_at is null and (a.customer_id = $1"
        "  or (a.customer_id is null and position(lower(c.email) in lower(a.detail ->> 'sender')) > 0))"
    ),
}


REMAINS = """\
What remains: ids, times, amounts, order numbers, decisions and who made them, digests and the payment provider's
references, because the books must add up; and a row data_erased, which says who erased it and when. The engine, the
mail server, the chat, the providers of payments and of the model, logs and backups have copies of their own:
docs/data.md says how to delete them."""


class CannotEraseError(RuntimeError):
    """Nothing was erased; the message says why, and what to do."""


async def customer(customer_id: str, by: str) -> dict[str, int]:
    """Erase what is personal of a customer; returns how many rows of each kind that were.

    `by` is who did it, for the row `data_erased`. Raises CannotEraseError for a customer of whom there is nothing, and
    while something of theirs has not ended.
    """
    await lost.forget_begun()

    async def work(connection: db.Connection) -> dict[str, int]:
        known = "select from customers where id = $1 union all select from audit_log where customer_id = $1 limit 1"
        if not await connection.fetch(known, customer_id):
            raise CannotEraseError(f"There is no customer {customer_id!r}.")
        found = {what: len(await connection.fetch(query, customer_id)) for what, query in OPEN.items()}
        still_open = [f"{what} ({count})" for what, count in found.items() if count]
        if still_open:
            raise CannotEraseError(f"Not yet: {', '.join(still_open)}. See to them at the desk, then run this again.")
        await db.record_in(connection, "data_erased", f"erasure-{uuid4()}", "erase", customer_id, by=by)
        for query in OF_CUSTOMER:
            await connection.execute(query, customer_id)
        counts = {what: _count(await connection.execute(statement)) for what, statement in ERASE.items()}
        # Only the paid tiers have a daily health check.
        counts["addresses"] = _count(
            await connection.execute(
                "update customers set email = id || '@erased.invalid', tier = 'standard' where id = $1", customer_id
            )
        )
        return counts | {"rows of tables that were adopted": await _adopted(connection, customer_id)}

    return await db.transaction(work)


async def _adopted(connection: db.Connection, customer_id: str) -> int:
    """Delete the customer's rows from the tables that `python db.py` has set aside, if there are any."""
    count = 0
    # The audit trail comes first, because its rows may refer to customers.
    for table, column in (("audit_log", "customer_id"), ("customers", "id")):
        if await connection.fetchval(f"select to_regclass('before.{table}')"):
            statement = f"delete from before.{table} as one where to_jsonb(one) ->> '{column}' = $1"  # noqa: S608
            count += _count(await connection.execute(statement, customer_id))
    return count


async def old_texts(days: int) -> int:
    """Erase what is personal and older than this, and has ended; returns how many rows, at most some thousands."""
    await lost.forget_begun()

    async def work(connection: db.Connection) -> int:
        # Two that come at once take turns, so that the second finds nothing left.
        await connection.execute("select pg_advisory_xact_lock(7205302)")
        for query in OLDER_THAN_DAYS:
            await connection.execute(query, days, MOST_AT_ONCE)
        rows = int(await connection.fetchval("select (select count(*) from chosen) + (select count(*) from settled)"))
        if rows:
            # Each transaction that erases has a row of its own, so the key is new each time.
            detail = {"older_than_days": days, "rows": rows}
            await db.record_in(connection, "data_erased", f"retention-{uuid4()}", "erase", None, **detail)
            for statement in ERASE.values():
                await connection.execute(statement)
        return rows

    return await db.transaction(work)


def _count(status: str) -> int:
    """The number of rows in a command's status, such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])


async def main() -> None:
    """`python -m people.erase ID`: erase, and say what remains."""
    parser = argparse.ArgumentParser(prog="python -m people.erase", description="Erase what is personal of a customer.")
    parser.add_argument("customer", help="the customer's id")
    parser.add_argument("--by", default=getpass.getuser(), help="who does it, for the trail (default: %(default)s)")
    options = parser.parse_args()
    try:
        counts = await customer(options.customer, options.by)
    finally:
        await db.close()
    print(f"Erased: {', '.join(f'{what} ({count})' for what, count in counts.items() if count) or 'nothing was left'}.")
    print(REMAINS)


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv()
    try:
        asyncio.run(main())
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
