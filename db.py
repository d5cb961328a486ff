"""The system of record: one Postgres pool, the customers, and the audit trail.

This file knows neither agents nor events. Every call is one transaction that is safe to repeat: a read changes nothing,
and a row is written under a key that is unique in its table. So a call may be tried again, here after a dropped
connection and by the engine after a crash.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, get_args
from weakref import WeakKeyDictionary

import asyncpg

import migrations
import settings

T = TypeVar("T")
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Work: TypeAlias = Callable[[Connection], Awaitable[T]]
AuditAction = Literal[
    "message_received", "message_sent", "refund_issued", "refund_blocked", "health_check", "run_failed", "data_erased"
]
RECORD = """
    insert into audit_log (action, key, run_id, customer_id, detail) values ($1, $2, $3, $4, $5)
    on conflict (key) do nothing
"""
# What a suspended Neon compute, a restarted server or a cut network looks like from here. InternalClientError comes
# between the server's farewell and the end of the connection (seen in asyncpg 0.32).
DROPPED = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_behind_pgbouncer: WeakKeyDictionary[asyncio.AbstractEventLoop, bool] = WeakKeyDictionary()


async def pool() -> Pool:
    """The pool of this process and event loop, made on first use.

    It holds DB_POOL_MAX connections at most, opens them when they are needed, and cancels a query that hangs for 15
    seconds. Raises settings.SettingError for an unusable DATABASE_URL or DB_POOL_MAX.
    """
    loop = asyncio.get_running_loop()
    async with _locks.setdefault(loop, asyncio.Lock()):
        if loop not in _pools:
            url, tls = settings.database_url(), settings.database_tls()
            _behind_pgbouncer[loop] = await _is_pgbouncer(url, tls)
            _pools[loop] = await asyncpg.create_pool(
                url,
                ssl=tls,
                min_size=0,
                max_size=settings.db_pool_max(),
                timeout=10,
                command_timeout=15,
                statement_cache_size=0 if _behind_pgbouncer[loop] else 100,
                reset=_leave_as_it_is,
            )
    return _pools[loop]


async def _is_pgbouncer(url: str, tls: bool | None) -> bool:
    """Whether PgBouncer is in between: its clients are told a process id that is not the server's."""
    connection = await asyncpg.connect(url, ssl=tls, timeout=10, command_timeout=15, statement_cache_size=0)
    async with connection.transaction():
        made_up: bool = connection.get_server_pid() != await connection.fetchval("select pg_backend_pid()")
    await connection.close(timeout=10)
    return made_up


async def _leave_as_it_is(_: object) -> None:
    """Do not reset the connection, which would cost a trip: nothing in this app outlives its transaction."""


async def close() -> None:
    """Close this event loop's pool; after 5 seconds connections that are still in use are dropped."""
    opened = _pools.pop(asyncio.get_running_loop(), None)
    if opened is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(opened.close(), 5)


async def transaction(work: Work[T]) -> T:
    """Run `work` in one transaction, and once more on a fresh connection if the server dropped the first.

    `work` must be safe to repeat, because a connection can be lost after the commit and before its answer.
    Raises what the second try raises.
    """
    return await _again_if_dropped(work, begin=True)


async def fetch(query: str, *arguments: object) -> list[dict[str, Any]]:
    """All rows of one statement that is safe to repeat. It takes one trip to the server, without begin and commit.

    PgBouncer needs both: between them the statement is prepared and executed on the same connection.
    """
    rows = await _again_if_dropped(lambda connection: connection.fetch(query, *arguments), begin=False)
    return [dict(row) for row in rows]


async def _again_if_dropped(work: Work[T], begin: bool) -> T:
    try:
        connections = await pool()
    except DROPPED:
        connections = await pool()
    begin = begin or _behind_pgbouncer[asyncio.get_running_loop()]
    try:
        return await _once(connections, work, begin)
    except DROPPED:
        await connections.expire_connections()
        return await _once(connections, work, begin)


async def _once(connections: Pool, work: Work[T], begin: bool) -> T:
    async with connections.acquire() as connection:
        if not begin:
            return await work(connection)
        async with connection.transaction():
            return await work(connection)


async def load_customers(*tiers: str) -> list[dict[str, Any]]:
    """The customers of these tiers, of all tiers when none is named: id, email and tier of each."""
    return await fetch(
        "select id, email, tier from customers where tier = any($1) or cardinality($1::text[]) = 0 order by id", tiers
    )


async def get_customer(customer_id: str) -> dict[str, Any] | None:
    """The customer's id, email and tier; None when there is no such customer."""
    rows = await fetch("select id, email, tier from customers where id = $1", clean(customer_id))
    return rows[0] if rows else None


async def record(action: AuditAction, run_id: str, step_id: str, customer_id: str | None, **detail: Any) -> None:
    """Add one row to the audit trail. Its key is run id and step id, so a row that is written twice is there once.

    Raises ValueError for an action outside the closed set, before the database is asked.
    """
    await fetch(RECORD, *_audit_row(action, run_id, step_id, customer_id, detail))


async def record_in(
    connection: Connection, action: AuditAction, run_id: str, step_id: str, customer_id: str | None, **detail: Any
) -> None:
    """Do what `record` does as a part of the caller's transaction."""
    await connection.execute(RECORD, *_audit_row(action, run_id, step_id, customer_id, detail))


def _audit_row(action: str, run_id: str, step_id: str, customer_id: str | None, detail: dict[str, Any]) -> Any:
    if action not in get_args(AuditAction):
        raise ValueError(f"{action!r} is not an audit action; the actions are {', '.join(get_args(AuditAction))}")
    return clean([action, f"{run_id}:{step_id}", run_id, customer_id, json.dumps(clean(detail))])


def clean(value: Any) -> Any:
    """`value` as Postgres can store it: U+FFFD for NUL and half surrogate pairs, text for NaN and Infinity."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {clean(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


async def migrate() -> list[str]:
    """Create or update the tables; the names of what was applied. Beside a dev server five customers come along."""
    return await transaction(partial(migrations.apply, examples=settings.names_a_dev_server()))


async def main() -> None:
    """`python db.py`: create the tables and, beside a dev server, the five customers."""
    applied = await migrate()
    await close()
    print(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv()
    try:
        asyncio.run(main())
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
