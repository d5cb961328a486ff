"""What tests do to the refund ledger: as a person who decides, and as nobody may."""

from typing import Any
from uuid import uuid4

import db
from refunds import ledger
from web.desk import queries


async def shown(refund_id: int) -> str:
    """The digest of what a person would be shown of a refund now."""
    row = await queries.one(refund_id)
    return str(row["shown"]) if row else "nothing"


async def decide(refund_id: int, *, approved: bool, by: str, key: str | None = None, **decision: Any) -> str | None:
    """Decide as a person who looked at the row just now; None, or why it was refused. Each call is another decision."""
    seen = await shown(refund_id)
    return await ledger.decide(refund_id, seen, approved=approved, by=by, key=key or str(uuid4()), **decision)


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
    """Empty every table but the customers', and count ids from 1 again. Sooner done than `truncate`."""
    tables = ("audit_log", "refunds", "refund_history", "sign_in_tries", "model_calls")

    async def work(connection: db.Connection) -> None:
        await connection.execute("set local session_replication_role = replica")
        for table in tables:
            await connection.execute(f"delete from {table}; alter table {table} alter column id restart")  # noqa: S608
        await connection.execute("delete from needs_person; delete from inbox; delete from executions")

    await db.transaction(work)
