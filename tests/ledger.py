"""What tests do to the refund ledger: as a person who decides, and as nobody may."""

from typing import Any
from uuid import uuid4

import db
from migrations import SEED_CUSTOMERS
from refunds import ledger
from web.desk import queries

# What empties the tables, once it is known which there are.
_emptying: list[str] = []


async def shown(refund_id: int) -> str:
    """The digest of what a person would be shown of a refund now."""
    row = await queries.one(refund_id)
    return str(row["shown"]) if row else "nothing"


async def decide(refund_id: int, *, approved: bool, by: str, key: str | None = None, **decision: Any) -> str | None:
    """Decide as a person who looked at the row just now; None, or why it was refused. Each call is another decision."""
    seen = await shown(refund_id)
    made = ledger.Decision(approved=approved, by=by, key=key or str(uuid4()), **decision)
    return await ledger.decide(refund_id, seen, made)


async def approve_unseen(run_id: str) -> None:
    """Approve what a run asked for as people do who know nothing of each other; `ledger.decide` does not let them."""
    await rewrite(
        "update refunds set status = 'approved', decision = 'approved', approved_cents = amount_cents,"
        " decided_at = now(), decided_by = 'grace', decision_note = '' where status = 'pending' and run_id = $1",
        run_id,
    )


async def rewrite(statement: str, *arguments: object) -> list[dict[str, Any]]:
    """Run one statement past the ledger's triggers, as a database replica applies changes (superusers only).

    For what a test cannot wait for or must not keep: a deadline that has passed, a table emptied for the next test.
    What the triggers would have written is not written, and constraints still hold.
    """

    async def work(connection: db.Connection) -> list[dict[str, Any]]:
        await connection.execute("set local session_replication_role = replica")
        return [dict(row) for row in await connection.fetch(statement, *arguments)]

    return await db.transaction(work)


async def forget_everything() -> None:
    """Leave the five customers of `python db.py` and nothing else, and count ids from 1 again.

    It is one round trip, and `truncate` or `alter table` would take longer: both make new files.
    """
    if not _emptying:
        _emptying.append(await _all_that_empties())
    await db.transaction(lambda connection: connection.execute(_emptying[0]))


async def _all_that_empties() -> str:
    tables = await db.fetch(
        "select tablename as name from pg_tables"
        " where schemaname = current_schema() and tablename <> 'schema_migrations'"
    )
    counted = await db.fetch(
        "select table_name as name from information_schema.columns where is_identity = 'YES' and column_name = 'id'"
    )
    return ";".join(
        [
            "set local session_replication_role = replica",
            *(f"delete from {table['name']}" for table in tables),  # noqa: S608
            *(f"select setval(pg_get_serial_sequence('{table['name']}', 'id'), 1, false)" for table in counted),
            f"insert into customers values {', '.join(map(str, SEED_CUSTOMERS))}",  # noqa: S608
        ]
    )
