"""The learner's database as the gates see it: customers and the audit trail, which they only read.

The course leaves it to the learner's agent how the audit table looks. So its shape is discovered, or told in one line.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg import Pool, Record

TELL = 'Name yours: --audit "table(customer, action)"'
CUSTOMER_COLUMNS = ["customer_id", "customer", "cust_id", "user_id", "account_id"]
ACTION_COLUMNS = ["action", "action_name", "action_type", "event", "event_type", "event_name", "kind", "type"]
IDS, TIERS = ["id", "customer_id"], ["tier", "plan", "level"]
TOLD = re.compile(r"\s*([\w.\"]+)\s*\((.+),(.+)\)\s*")


class RowsError(RuntimeError):
    """The database does not answer, or it lacks what a gate needs; the message says what and what to do."""


@dataclass(frozen=True)
class Audit:
    """The audit table: its name, and its columns as they stand in a query. `run` is there only if a column names it."""

    table: str
    customer: str
    action: str
    order: str
    run: str | None


@dataclass(frozen=True)
class Customer:
    """One customer; `id` is a number or a text, as the table has it."""

    id: Any
    tier: str


@dataclass(frozen=True)
class Row:
    """One row of the audit trail."""

    customer: str | None
    action: str


class Rows:
    """The database at `url`, to be used with `async with`. Every method raises RowsError when it does not answer."""

    def __init__(self, url: str, told: str = "") -> None:
        self._url = url
        self._told = told
        self._pool: Pool[Record]

    async def __aenter__(self) -> Self:
        try:
            self._pool = await asyncpg.create_pool(
                # Neon's pooler forgets prepared statements between transactions.
                _for_asyncpg(self._url),
                min_size=1,
                max_size=2,
                command_timeout=15,
                statement_cache_size=0,
            )
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise RowsError(f"DATABASE_URL leads to no database ({type(error).__name__}). Is it in .env?") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def fetch(self, query: str, *arguments: object) -> list[Record]:
        """All rows of a query."""
        try:
            return await self._pool.fetch(query, *arguments)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise RowsError(f"The database: {type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection whose transaction is rolled back at its end."""
        async with self._pool.acquire() as connection:
            attempt = connection.transaction()
            await attempt.start()
            try:
                yield connection
            finally:
                await attempt.rollback()

    async def audit(self) -> Audit:
        """The audit table's shape. RowsError says what is missing."""
        tables = await self._tables()
        told = TOLD.fullmatch(self._told)
        if self._told and told is None:
            raise RowsError(f"--audit {self._told!r} is not understood. {TELL}")
        name = told[1].strip('"') if told else _first(tables, ["audit_log"], "audit")
        if name is None or name not in tables:
            raise RowsError(f"There is no table {name or 'with audit in its name'}. {TELL}")
        columns = tables[name]
        customer = told[2].strip() if told else _quoted(_first(columns, CUSTOMER_COLUMNS, "customer"))
        action = told[3].strip() if told else _quoted(_first(columns, ACTION_COLUMNS, "action"))
        if customer is None or action is None:
            missing = "says which customer a row is about" if customer is None else "names what was done"
            raise RowsError(f"No column of {name} {missing}: it has {', '.join(columns)}. {TELL}")
        order = _order(columns)
        if order is None:
            raise RowsError(f"No column of {name} tells the order of its rows: a counting id, or the time of writing.")
        run = "run_id" if "run_id" in columns else None
        return Audit(f'"{name}"', f"({customer})::text", f"({action})::text", f'"{order}"', run)

    async def customers(self) -> list[Customer]:
        """All customers, by their ids. RowsError says what is missing."""
        tables = await self._tables()
        name = _first(tables, ["customers"], "customer")
        if name is None:
            raise RowsError("There is no table customers.")
        columns = tables[name]
        key, tier = _first(columns, IDS, "id"), _first(columns, TIERS, "tier")
        if key is None or tier is None:
            missing = "id" if key is None else "tier"
            raise RowsError(f"The table {name} has no column {missing}: it has {', '.join(columns)}.")
        rows = await self.fetch(f'select "{key}" as id, "{tier}"::text as tier from "{name}" order by 1')  # noqa: S608
        return [Customer(row["id"] if isinstance(row["id"], int) else str(row["id"]), row["tier"]) for row in rows]

    async def newest(self) -> Any:
        """What orders the newest audit row, for `since`; None if there is no row."""
        audit = await self.audit()
        return (await self.fetch(f"select max({audit.order}) from {audit.table}"))[0][0]  # noqa: S608

    async def since(self, newest: Any, customer: Any = None) -> list[Row]:
        """The rows that were written after `newest`, in their order: all of them, or those of one customer."""
        audit = await self.audit()
        newer = "" if newest is None else f"where {audit.order} > $1"
        rows = await self._rows(audit, newer, *([] if newest is None else [newest]))
        return [row for row in rows if customer is None or row.customer == str(customer)]

    async def of_run(self, run_id: str) -> list[Row] | None:
        """The rows that a run wrote; None if no column of the table says so."""
        audit = await self.audit()
        if audit.run is None:
            return None
        return await self._rows(audit, f"where {audit.run}::text = $1", run_id)

    async def _rows(self, audit: Audit, where: str, *arguments: object) -> list[Row]:
        what = f"{audit.customer} as customer, {audit.action} as action"
        query = f"select {what} from {audit.table} {where} order by {audit.order}"  # noqa: S608
        return [Row(row["customer"], row["action"]) for row in await self.fetch(query, *arguments)]

    async def _tables(self) -> dict[str, dict[str, str]]:
        """The type of every column of every table, by their names."""
        rows = await self.fetch(
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = any(current_schemas(false)) order by table_name, ordinal_position"
        )
        tables: dict[str, dict[str, str]] = {}
        for row in rows:
            tables.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
        return tables


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """How often each action was written."""
    return dict(Counter(row.action for row in rows))


def _first(names: Iterable[str], usual: list[str], part: str) -> str | None:
    """The first usual name that is there, or else a name with this part in it."""
    there = list(names)
    for name in usual:
        if name in there:
            return name
    return next((name for name in there if part in name), None)


def _quoted(column: str | None) -> str | None:
    return None if column is None else f'"{column}"'


def _order(columns: dict[str, str]) -> str | None:
    """The column by which rows were written one after the other."""
    if columns.get("id") in {"integer", "bigint", "smallint"}:
        return "id"
    times = [name for name, kind in columns.items() if kind.startswith("timestamp")]
    counters = [name for name, kind in columns.items() if kind in {"integer", "bigint"} and name.endswith("id")]
    return next(iter([*times, *counters]), None)


def _for_asyncpg(url: str) -> str:
    """Neon's URLs carry `channel_binding`, an option of libpq's that asyncpg does not know."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "channel_binding"]
    return urlunsplit(parts._replace(query=urlencode(query)))
