"""What tests do to the refund ledger: as a person who decides, and as nobody may."""

from typing import Any
from uuid import uuid4

import db
from refunds import ledger


async def decide(
    refund_id: int, *, approved: bool, by: str, note: str = "", amount_cents: int | None = None, key: str | None = None
) -> str | None:
    """Decide as a person who looked at the row just now; None, or why it was refused. Each call is another decision."""
    rows = await db.fetch("select digest from refunds where id = $1", refund_id)
    shown = rows[0]["digest"] if rows else "nothing"
    return await ledger.decide(
        refund_id, shown, approved=approved, by=by, note=note, amount_cents=amount_cents, key=key or str(uuid4())
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
    """Empty every table but the customers', and count ids from 1 again. Sooner done than `truncate`."""
    tables = ("audit_log", "refunds", "refund_history", "sign_in_tries")

    async def work(connection: db.Connection) -> None:
        await connection.execute("set local session_replication_role = replica")
        for table in tables:
            await connection.execute(f"delete from {table}; alter table {table} alter column id restart")  # noqa: S608
        await connection.execute("delete from needs_person; delete from inbox")

    await db.transaction(work)
