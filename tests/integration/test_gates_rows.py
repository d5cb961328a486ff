"""The gates find their way in tables of many shapes, as learners' agents make them. Needs Postgres."""

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from gates.rows import Rows, RowsError, counted

CUSTOMERS = "create table customers (id text primary key, email text, tier text);"
# The audit table, a row of one customer, and what must be told; nothing if it is discovered.
SHAPES = {
    "the course's plain one": (
        "create table audit_log (id serial primary key, customer_id text, action text, detail text)",
        "insert into audit_log (customer_id, action) values ('7', 'replied')",
        "",
    ),
    "random ids, ordered by time": (
        "create table audit_log (id uuid primary key default gen_random_uuid(), customer_id int, action varchar(40),"
        " created_at timestamptz default clock_timestamp())",
        "insert into audit_log (customer_id, action) values (7, 'replied')",
        "",
    ),
    "other names": (
        "create table audit_events (event_id bigserial primary key, customer text, event_type text, payload jsonb)",
        "insert into audit_events (customer, event_type) values ('7', 'replied')",
        "",
    ),
    "an enum and capital letters": (
        "create type what as enum ('replied'); create table audit_log"
        ' ("Id" int, "customerId" text, action what, at timestamp default clock_timestamp())',
        "insert into audit_log (\"customerId\", action) values ('7', 'replied')",
        "",
    ),
    "the customer inside a document": (
        "create table history (id serial primary key, kind text, data jsonb)",
        """insert into history (kind, data) values ('replied', '{"customer": "7"}')""",
        "history(data->>'customer', kind)",
    ),
}


@pytest.fixture
async def empty(database: None) -> AsyncIterator[str]:
    """The address of a database with nothing in it."""
    server, name = os.environ["DATABASE_URL"], f"shape_{uuid4().hex}"
    administrator = await asyncpg.connect(server)
    await administrator.execute(f"create database {name}")
    yield server.rpartition("/")[0] + f"/{name}"
    await administrator.execute(f"drop database {name} with (force)")
    await administrator.close()


async def execute(address: str, *statements: str) -> None:
    connection = await asyncpg.connect(address)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(("table", "row", "told"), SHAPES.values(), ids=SHAPES.keys())
async def test_rows_are_counted_by_customer_since_a_moment(table: str, row: str, told: str, empty: str) -> None:
    await execute(empty, CUSTOMERS, table)
    async with Rows(empty, told) as rows:
        assert await rows.newest() is None
        await execute(empty, row)
        assert counted(await rows.since(None, 7)) == {"replied": 1}
        before = await rows.newest()
        await execute(empty, row)
        await execute(empty, row)
        assert counted(await rows.since(before, "7")) == {"replied": 2}
        assert await rows.since(before, "8") == []
        assert await rows.of_run("r") is None


@pytest.mark.parametrize(
    ("tables", "told", "words"),
    [
        (CUSTOMERS, "", "no table with audit in its name"),
        (CUSTOMERS + "create table audit_log (id serial, action text)", "", "says which customer"),
        (CUSTOMERS + "create table audit_log (id serial, customer_id text)", "", "names what was done"),
        (CUSTOMERS + "create table audit_log (id uuid, customer_id text, action text)", "", "tells the order"),
        (CUSTOMERS, "audit_log", "is not understood"),
        (CUSTOMERS, "nowhere(a, b)", "no table nowhere"),
    ],
)
async def test_what_an_audit_table_lacks_is_named(tables: str, told: str, words: str, empty: str) -> None:
    await execute(empty, tables)
    async with Rows(empty, told) as rows:
        with pytest.raises(RowsError, match=words):
            await rows.audit()


async def test_what_the_customers_lack_is_named(empty: str) -> None:
    async with Rows(empty) as rows:
        with pytest.raises(RowsError, match="no table customers"):
            await rows.customers()
        await execute(empty, "create table customers (id text, email text)")
        with pytest.raises(RowsError, match="no column tier"):
            await rows.customers()


async def test_customers_keep_the_type_of_their_ids(empty: str) -> None:
    await execute(empty, "create table customers (customer_id serial, name text, plan text)")
    await execute(empty, "insert into customers (name, plan) values ('Ann', 'Pro')")
    async with Rows(empty) as rows:
        (customer,) = await rows.customers()
        assert (customer.id, customer.tier) == (1, "Pro")
