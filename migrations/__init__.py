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
# The tables of the course's store prompt, which an agent may have made in its own way, and how their rows are copied.
FIRST = "0001_customers_and_audit_log.sql"
ADOPTED = {
    "customers": "insert into customers select old->>'id', old->>'email', lower(old->>'tier') from {rows}",
    # Agents call the column of the time by one of these five names.
    "audit_log": """
        insert into audit_log (action, key, customer_id, run_id, detail, created_at)
        select old->>'action', 'adopted:' || row_number() over (order by written), old->>'customer_id',
               'adopted', old, coalesce(written, now())
        from (
            select old, coalesce(old->>'created_at', old->>'timestamp', old->>'ts', old->>'at', old->>'occurred_at')
                ::timestamptz as written
            from {rows}
        ) as dated
        order by written
    """,
}
FOLDER = Path(__file__).parent
# An index on a long table takes its time.
TIMEOUT_SECONDS = 3600


class AdoptionError(RuntimeError):
    """Tables that were there before cannot be adopted; the message names the rows or the column, and what to do."""


async def apply(connection: Any, *, examples: bool) -> list[str]:
    """Apply the files that are not recorded yet; the names that were applied.

    With `examples`, five made-up customers are added if there is none. It is a part of the caller's transaction, so it
    is all or nothing, and two processes at once take turns.
    """
    await connection.execute("select pg_advisory_xact_lock(7205301)")
    await connection.execute(
        "create table if not exists schema_migrations"
        " (name text primary key, applied_at timestamptz not null default now())"
    )
    aside = await _set_aside(connection)
    applied = {row["name"] for row in await connection.fetch("select name from schema_migrations")}
    names = [path.name for path in sorted(FOLDER.glob("*.sql")) if path.name not in applied]
    for name in names:
        await connection.execute((FOLDER / name).read_text(), timeout=TIMEOUT_SECONDS)
        await connection.execute("insert into schema_migrations (name) values ($1)", name)
        if name == FIRST and aside:
            await _adopt(connection, aside)
    if examples and not await connection.fetchval("select exists (select from customers)"):
        await connection.executemany("insert into customers values ($1, $2, $3)", SEED_CUSTOMERS)
    return names


async def _set_aside(connection: Any) -> list[str]:
    """Move the tables that somebody else has made into the schema `before`; their names."""
    if await connection.fetchval("select exists (select from schema_migrations)"):
        return []
    there = await connection.fetch(
        "select tablename from pg_tables where schemaname = current_schema() and tablename = any($1)", list(ADOPTED)
    )
    names = [row["tablename"] for row in there]
    if names:
        await connection.execute("create schema if not exists before")
    for name in names:
        await connection.execute(f"alter table {name} set schema before")
    return names


async def _adopt(connection: Any, names: list[str]) -> None:
    """Copy the rows of the tables in the schema `before`, whatever other columns these have."""
    for name in sorted(names, reverse=True):
        rows = f"(select to_jsonb(one) from before.{name} as one) as rows (old)"  # noqa: S608 (the names are ADOPTED's)
        try:
            await connection.execute(ADOPTED[name].format(rows=rows))
        except Exception as error:
            raise AdoptionError(_in_the_way(name, error)) from error


def _in_the_way(table: str, error: Exception) -> str:
    """Which column of an older table does not fit, as far as Postgres says so, and what to do about it."""
    constraint = str(getattr(error, "constraint_name", None) or "").removeprefix(f"{table}_")
    column = getattr(error, "column_name", None) or constraint.rpartition("_")[0]
    return (
        f"The table {table} was there before, and {f'its column {column}' if column else 'it'} does not fit: "
        f"{error.args[0]}. {getattr(error, 'detail', None) or ''} What a column takes is in migrations/{FIRST}. Rename "
        "the column, mend the rows, or rename the table, and run it again. Nothing was changed."
    )
