"""Migrations on an empty database: applied once, by one process or several, wholly or not at all.

Runs without any account; `python db.py` runs as a learner runs it, in a process of its own.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

import db
import migrations

ROOT = Path(__file__).parents[2]
NAMES = [
    "0001_customers_and_audit_log.sql",
    "0002_refunds.sql",
    "0003_approval_desk.sql",
    "0004_customer_addresses.sql",
    "0005_similar_refunds.sql",
    "0006_nobody_waits_in_silence.sql",
    "0007_second_approvals.sql",
    "0008_every_email_ends.sql",
    "0009_people_in_the_data.sql",
    "0010_costs.sql",
    "0011_notes_of_first_approvals.sql",
    "0012_turns.sql",
]


@pytest.fixture
async def empty(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a database with nothing in it, which is also the pool's."""
    server, name = os.environ["DATABASE_URL"], f"empty_{uuid4().hex}"
    administrator = await asyncpg.connect(server)
    await administrator.execute(f"create database {name}")
    await db.close()
    address = server.rpartition("/")[0] + f"/{name}"
    monkeypatch.setenv("DATABASE_URL", address)
    yield address
    await db.close()
    await administrator.execute(f"drop database {name} with (force)")
    await administrator.close()


def start(**environment: str) -> "subprocess.Popen[str]":
    """`python db.py` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "db.py"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def tables() -> list[str]:
    rows = await db.fetch("select tablename from pg_tables where schemaname = 'public' order by tablename")
    return [row["tablename"] for row in rows]


async def count(table: str) -> int:
    return int((await db.fetch(f"select count(*) from {table}"))[0]["count"])  # noqa: S608


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.sql").write_text(text)
    return path


async def test_an_empty_database_gets_every_table_and_the_five_customers(empty: str) -> None:
    assert await db.migrate() == NAMES
    assert await tables() == [
        "audit_log",
        "customers",
        "executions",
        "first_approvals",
        "inbox",
        "model_calls",
        "needs_person",
        "refund_history",
        "refunds",
        "reviewer_sessions",
        "schema_migrations",
        "sign_in_tries",
        "unanswered",
    ]
    rows = await db.fetch("select id, email, tier from customers order by id")
    assert [tuple(row.values()) for row in rows] == migrations.SEED_CUSTOMERS
    assert [row[::2] for row in migrations.SEED_CUSTOMERS] == [
        ("cust_001", "enterprise"),
        ("cust_002", "pro"),
        ("cust_003", "pro"),
        ("cust_004", "standard"),
        ("cust_005", "standard"),
    ]


async def test_a_second_migration_applies_nothing_and_keeps_the_data(empty: str) -> None:
    await db.migrate()
    await db.record("message_received", "run", "step", "cust_001")
    assert await db.migrate() == []
    assert [await count(table) for table in ("customers", "audit_log", "schema_migrations")] == [5, 1, len(NAMES)]


async def test_in_production_no_customer_is_made_up(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration job has the database's address and perhaps nothing else."""
    monkeypatch.delenv("INNGEST_DEV")
    assert await db.migrate() == NAMES
    assert await count("customers") == 0


async def test_a_deleted_seed_customer_does_not_come_back(empty: str) -> None:
    await db.migrate()
    await db.fetch("delete from customers where id = 'cust_003'")
    await db.migrate()
    assert await count("customers") == 4


async def test_a_learners_own_customers_are_not_joined_by_the_seeds(empty: str) -> None:
    await db.migrate()
    await db.fetch("delete from customers")
    await db.fetch("insert into customers values ('mine', 'me@example.com', 'pro')")
    await db.migrate()
    assert await count("customers") == 1


COURSE_STORE = """
    create table customers (id uuid primary key default gen_random_uuid(), email text, tier text, name text);
    create table audit_log (
        id serial primary key, customer_id uuid references customers (id), action text not null, notes text,
        created_at timestamp default now());
"""


async def test_a_store_made_by_the_courses_prompt_is_adopted_with_its_rows(empty: str) -> None:
    await (await db.pool()).execute(COURSE_STORE)
    await db.fetch("insert into customers (email, tier) values ('me@example.com', 'Pro')")
    await db.fetch("insert into audit_log (customer_id, action, notes) select id, 'message_sent', 'hi' from customers")
    assert await db.migrate() == NAMES
    (customer,) = await db.load_customers()
    assert (customer["email"], customer["tier"]) == ("me@example.com", "pro")
    (row,) = await db.fetch("select customer_id, action, detail->>'notes' as notes from audit_log")
    assert tuple(row.values()) == (customer["id"], "message_sent", "hi")
    await db.record("message_received", "run", "step", customer["id"])
    assert await db.migrate() == []
    assert [await count(table) for table in ("before.customers", "before.audit_log", "audit_log")] == [1, 1, 2]


async def test_a_store_of_other_types_and_names_keeps_its_times_and_numbers(empty: str) -> None:
    await (await db.pool()).execute("""
        create type audit_action as enum ('message_sent', 'refund_issued');
        create table customers (id serial primary key, email varchar(99), tier varchar(9), about jsonb default '{}');
        create table audit_log (
            id uuid primary key default gen_random_uuid(), key text unique, customer_id int references customers (id),
            action audit_action not null, detail jsonb, actor text not null default 'worker', ts timestamp not null);
        insert into customers (email, tier) values ('me@example.com', 'pro');
        insert into audit_log (customer_id, action, ts) values (1, 'refund_issued', '2026-01-02 03:04');
    """)
    assert await db.migrate() == NAMES
    assert [customer["id"] for customer in await db.load_customers()] == ["1"]
    (row,) = await db.fetch("select customer_id, action, created_at::date::text as day from audit_log")
    assert tuple(row.values()) == ("1", "refund_issued", "2026-01-02")


async def test_an_empty_store_of_the_course_gets_the_five_customers(empty: str) -> None:
    await (await db.pool()).execute(COURSE_STORE)
    assert await db.migrate() == NAMES
    assert [await count(table) for table in ("customers", "audit_log")] == [5, 0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            "insert into audit_log (action) values ('replied')",
            "audit_log was .* its column action does not fit.*replied",
        ),
        ("insert into customers (email, tier) values ('me@example.com', 'gold')", "its column tier does not fit"),
        (
            "alter table customers drop column tier; insert into customers (email) values ('me@example.com')",
            "column tier",
        ),
        (
            "insert into customers (email, tier) values ('me@example.com', 'pro'), ('me@example.com', 'pro')",
            "column email",
        ),
    ],
)
async def test_what_stands_in_the_way_of_an_adoption_is_named_and_nothing_is_changed(
    row: str, words: str, empty: str
) -> None:
    connections = await db.pool()
    await connections.execute(COURSE_STORE)
    await connections.execute(row)
    with pytest.raises(migrations.AdoptionError, match=words):
        await db.migrate()
    assert await tables() == ["audit_log", "customers"]


async def test_five_at_once_take_turns(empty: str) -> None:
    await asyncio.gather(*(db.fetch("select pg_sleep(0.1)") for _ in range(5)))  # Connected before the race begins.
    applied = await asyncio.gather(*(db.migrate() for _ in range(5)))
    assert sorted(applied) == [[]] * 4 + [NAMES]
    assert await count("customers") == 5


async def test_four_processes_at_once_apply_each_file_once(empty: str) -> None:
    processes = [start() for _ in range(4)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert sorted(out for out, _ in said) == [f"Applied {', '.join(NAMES)}.\n"] + ["The database is up to date.\n"] * 3
    assert [await count(table) for table in ("customers", "schema_migrations")] == [5, len(NAMES)]


async def test_a_migration_that_fails_half_way_leaves_nothing_and_is_repeated_whole(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (migrations.FOLDER / NAMES[0]).read_text()
    broken = "create table half (n int); insert into half values (1); create table half (n int);"
    monkeypatch.setattr(migrations, "FOLDER", folder(tmp_path, **{"0001_good": good, "0002_broken": broken}))
    with pytest.raises(asyncpg.DuplicateTableError):
        await db.migrate()
    assert await tables() == []
    folder(tmp_path, **{"0002_broken": "create table half (n int); insert into half values (1);"})
    assert await db.migrate() == ["0001_good.sql", "0002_broken.sql"]
    assert await count("half") == 1


async def test_a_new_file_is_applied_alone_and_files_go_in_the_order_of_their_numbers(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (migrations.FOLDER / NAMES[0]).read_text()
    later = {"0010_c": "insert into steps values ('c')", "0009_b": "insert into steps values ('b')"}
    monkeypatch.setattr(migrations, "FOLDER", folder(tmp_path, **{"0001_a": good + "create table steps (name text);"}))
    await db.migrate()
    folder(tmp_path, **later)
    assert await db.migrate() == ["0009_b.sql", "0010_c.sql"]
    assert [row["name"] for row in await db.fetch("select name from steps order by ctid")] == ["b", "c"]


async def test_a_migration_may_take_longer_than_any_query(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncpg.create_pool(empty, min_size=0, command_timeout=0.5) as impatient:
        monkeypatch.setitem(db._pools, asyncio.get_running_loop(), impatient)
        await db.migrate()
        monkeypatch.setattr(migrations, "FOLDER", folder(tmp_path, slow="select pg_sleep(1)"))
        assert await db.migrate() == ["slow.sql"]


async def test_python_db_py_says_what_it_did_and_what_there_is_left_to_do(empty: str) -> None:
    for said in (f"Applied {', '.join(NAMES)}.\n", "The database is up to date.\n"):
        process = start()
        assert process.communicate(timeout=60) == (said, "")
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("", "SettingError: DATABASE_URL is not set: "),
        ("postgres//ada:s3cr3t@host/db", "SettingError: DATABASE_URL is not a Postgres URL: "),
        ("postgresql://ada:s3cr3t@127.0.0.1:1/db", "ConnectionRefusedError: "),
    ],
)
def test_python_db_py_fails_with_one_line_and_without_the_password(url: str, line: str) -> None:
    process = start(DATABASE_URL=url)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert error.startswith(line)
    assert error.count("\n") == 1
    assert "s3cr3t" not in error
