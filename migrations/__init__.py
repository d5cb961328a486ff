"""The history of the tables: numbered SQL files, each of which is applied once, in order."""

from pathlib import Path
from typing import Any

SEED_CUSTOMERS = [
    ("cust_001", "ada@example.com", "enterprise"),
    ("cust_002", "grace@example.com", "pro"),
    ("cust_003", "linus@example.com", "pro"),
    ("cust_004", "edsger@example.com", "standard"),
    ("cust_005", "alan@example.com", "standard"),
]
FOLDER = Path(__file__).parent
# An index on a long table takes its time.
TIMEOUT_SECONDS = 3600


async def apply(connection: Any) -> list[str]:
    """Apply the files that are not recorded yet, and seed the customers if there are none; the names that were applied.

    It is a part of the caller's transaction, so it is all or nothing, and two processes at once take turns.
    """
    await connection.execute("select pg_advisory_xact_lock(7205301)")
    await connection.execute(
        "create table if not exists schema_migrations"
        " (name text primary key, applied_at timestamptz not null default now())"
    )
    applied = {row["name"] for row in await connection.fetch("select name from schema_migrations")}
    names = [path.name for path in sorted(FOLDER.glob("*.sql")) if path.name not in applied]
    for name in names:
        await connection.execute((FOLDER / name).read_text(), timeout=TIMEOUT_SECONDS)
        await connection.execute("insert into schema_migrations (name) values ($1)", name)
    if not await connection.fetchval("select exists (select from customers)"):
        await connection.executemany("insert into customers values ($1, $2, $3)", SEED_CUSTOMERS)
    return names
