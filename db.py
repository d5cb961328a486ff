"""The system of record: one Postgres pool, the customers and the audit trail.

Nothing here knows agents or events. Every call is one transaction that may be repeated: a read changes nothing
and a write carries a key that is unique in its table. That makes it safe to try again, here after a dropped
connection and in the engine after a crash.
"""

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import asyncpg

T = TypeVar("T")
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
AuditAction = Literal[
    "message_received", "message_sent", "refund_issued", "refund_blocked", "health_check", "run_failed"
]
SEED_CUSTOMERS = [
    ("cust_001", "ada@example.com", "enterprise"),
    ("cust_002", "grace@example.com", "pro"),
    ("cust_003", "linus@example.com", "pro"),
    ("cust_004", "edsger@example.com", "standard"),
    ("cust_005", "alan@example.com", "standard"),
]
MIGRATIONS = Path(__file__).parent / "migrations"
# Options of libpq's that asyncpg would pass on to the server as settings, which refuses them.
LIBPQ_ONLY = {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_idle", "pgbouncer"}
# What a suspended Neon compute, a restart or a cut network looks like from here.
DROPPED = (
    *(OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError),
    asyncpg.InternalClientError,  # between the server's farewell and the end of the connection (seen in asyncpg 0.32)
)
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class ConfigurationError(RuntimeError):
    """A setting is missing or unusable; the message says which one and what to do."""


def database_url() -> str:
    """`DATABASE_URL` as asyncpg accepts it: Neon's `channel_binding` and its like removed.

    Raises ConfigurationError (never naming the password) when it is missing or not a Postgres URL.
    """
    raw = os.environ.get("DATABASE_URL", "").strip()
    if not raw:
        raise ConfigurationError("DATABASE_URL is not set: copy .env.example to .env and paste your Neon URL")
    try:
        url = urlsplit(raw)
        usable = url.scheme in {"postgres", "postgresql"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("DATABASE_URL is not a Postgres URL: expected postgresql://user:password@host/name")
    query = [(name, value) for name, value in parse_qsl(url.query) if name not in LIBPQ_ONLY]
    return urlunsplit(url._replace(query=urlencode(query)))


async def pool() -> Pool:
    """The pool of this process and event loop, made on first use; connections are opened when needed.

    Size from `DB_POOL_MAX` (default 10 connections); a query that hangs for 15 seconds is cancelled.
    """
    loop = asyncio.get_running_loop()
    async with _locks.setdefault(loop, asyncio.Lock()):
        if loop not in _pools:
            url = database_url()
            # PgBouncer in transaction mode forgets prepared statements between transactions.
            cached = 0 if "-pooler." in (urlsplit(url).hostname or "") else 100
            size = os.environ.get("DB_POOL_MAX") or "10"
            if not size.isdecimal() or int(size) < 1:
                raise ConfigurationError(f"DB_POOL_MAX is {size!r}: expected a number of connections from 1 up")
            _pools[loop] = await asyncpg.create_pool(
                url, min_size=0, max_size=int(size), timeout=10, command_timeout=15, statement_cache_size=cached
            )
    return _pools[loop]


async def close() -> None:
    """Close this event loop's pool; after 5 seconds connections still in use are dropped."""
    opened = _pools.pop(asyncio.get_running_loop(), None)
    if opened is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(opened.close(), 5)


async def transaction(work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` in one transaction; once more on a fresh connection if the server dropped the first.

    `work` must be repeatable, because a connection can be lost after the commit and before its answer.
    Raises what the second try raises.
    """
    connections = await pool()
    try:
        return await _transaction(connections, work)
    except DROPPED:
        await connections.expire_connections()
        return await _transaction(connections, work)


async def _transaction(connections: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    async with connections.acquire() as connection, connection.transaction():
        return await work(connection)


async def fetch(query: str, *arguments: object) -> list[dict[str, Any]]:
    """All rows of one repeatable statement."""
    return [dict(row) for row in await transaction(lambda connection: connection.fetch(query, *arguments))]


async def get_customer(customer_id: str) -> dict[str, Any] | None:
    """The customer's id, email and tier; None when there is no such customer."""
    rows = await fetch("select id, email, tier from customers where id = $1", clean(customer_id))
    return rows[0] if rows else None


async def audit(action: AuditAction, run_id: str, step_id: str, customer_id: str | None, **detail: Any) -> None:
    """Add one row to the audit trail, keyed by run id and step id: written twice, it is there once.

    Raises ValueError for an action outside the closed set, before the database is asked.
    """
    await transaction(lambda connection: audit_in(connection, action, run_id, step_id, customer_id, **detail))


async def audit_in(
    connection: Connection, action: AuditAction, run_id: str, step_id: str, customer_id: str | None, **detail: Any
) -> None:
    """`audit` as part of the caller's transaction."""
    if action not in get_args(AuditAction):
        raise ValueError(f"{action!r} is not an audit action; the actions are {', '.join(get_args(AuditAction))}")
    await connection.execute(
        "insert into audit_log (action, key, run_id, customer_id, detail) values ($1, $2, $3, $4, $5)"
        " on conflict (key) do nothing",
        *clean([action, f"{run_id}:{step_id}", run_id, customer_id]),
        json.dumps(clean(detail)),
    )


def clean(value: Any) -> Any:
    """`value` as Postgres can store it: U+FFFD for NUL and half surrogate pairs, text for NaN and Infinity."""
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {clean(name): clean(item) for name, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


async def migrate() -> list[str]:
    """Apply the files of `migrations/` that are not recorded yet, in order; seed the customers if there are none.

    Returns the names applied. All or nothing; two processes at once take turns.
    """

    async def work(connection: Connection) -> list[str]:
        await connection.execute("select pg_advisory_xact_lock(7205301)")
        await connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        done = {row["name"] for row in await connection.fetch("select name from schema_migrations")}
        names = [path.name for path in sorted(MIGRATIONS.glob("*.sql")) if path.name not in done]
        for name in names:
            await connection.execute((MIGRATIONS / name).read_text(), timeout=3600)  # an index takes its time
            await connection.execute("insert into schema_migrations (name) values ($1)", name)
        if not await connection.fetchval("select exists (select from customers)"):
            await connection.executemany("insert into customers values ($1, $2, $3)", SEED_CUSTOMERS)
        return names

    return await transaction(work)


async def _main() -> None:
    applied = await migrate()
    await close()
    print(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv()
    try:
        asyncio.run(_main())
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
