"""The system of record on a real Postgres: the pool, what happens when the server goes away, the audit trail.

Runs without any account. Counts come from Postgres. Connections are told apart by their `application_name`.
"""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

import db
import settings
from offline.postgres import EmbeddedPostgres
from offline.processes import free_port
from refunds import ledger, payments
from tests.ledger import decide, rewrite

NEON = "postgresql://ada:s3cr3t@ep-a-1.eu-central-1.aws.neon.tech/neondb"


async def raw(url: str, query: str, *arguments: object) -> Any:
    """The value of one query on a connection that is none of the pool's."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def connections_of(url: str, name: str) -> int:
    return int(await raw(url, "select count(*) from pg_stat_activity where application_name = $1", name))


async def cut(url: str, name: str) -> int:
    """Let the server end every connection of this name; how many there were."""
    cut_them = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1"
    return int(await raw(url, cut_them, name))


@pytest.fixture
async def url(database: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the test's database; the pool's connections are called "app"."""
    address = os.environ["DATABASE_URL"]
    while await connections_of(address, "app"):
        await asyncio.sleep(0.01)  # Those of the test before are still ending.
    monkeypatch.setenv("DATABASE_URL", f"{address}?application_name=app")
    return address


@pytest.fixture(autouse=True)
async def own_pool(database: None) -> AsyncIterator[None]:
    """Each test makes its pool anew, under its own settings."""
    await db.close()
    yield
    await db.close()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The settings of every pool that is made."""
    made: list[dict[str, Any]] = []
    create = asyncpg.create_pool

    def noted(dsn: str, **settings: Any) -> Any:
        made.append({"dsn": dsn} | settings)
        return create(dsn, **settings)

    monkeypatch.setattr(asyncpg, "create_pool", noted)
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools that wait one second for a connection or a query."""
    create = asyncpg.create_pool
    short = {"timeout": 1, "command_timeout": 1}
    monkeypatch.setattr(asyncpg, "create_pool", lambda dsn, **given: create(dsn, **(given | short)))


# The pool


async def test_thirty_first_calls_at_once_make_one_pool_of_the_size_asked_for(
    url: str, pools: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_POOL_MAX", "4")
    await asyncio.gather(*(db.fetch("select pg_sleep(0.01)") for _ in range(30)))
    assert len(pools) == 1
    assert await connections_of(url, "app") == 4


async def test_ten_connections_are_the_default(url: str) -> None:
    await asyncio.gather(*(db.fetch("select pg_sleep(0.02)") for _ in range(30)))
    assert await connections_of(url, "app") == 10


async def test_each_event_loop_gets_a_pool_of_its_own(url: str, pools: list[dict[str, Any]]) -> None:
    async def elsewhere() -> list[dict[str, Any]]:
        try:
            return await db.fetch("select count(*) from customers")
        finally:
            await db.close()

    await db.fetch("select 1")
    rows = await asyncio.gather(*(asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(3)))
    assert rows == [[{"count": 5}]] * 3
    assert len(pools) == 4
    assert await db.fetch("select 1 as one") == [{"one": 1}]
    assert len(pools) == 4


async def test_close_ends_every_connection_and_the_next_call_opens_a_new_pool(url: str) -> None:
    await db.fetch("select 1")
    await db.close()
    await db.close()
    assert await connections_of(url, "app") == 0
    assert await db.fetch("select 1 as one") == [{"one": 1}]


async def test_close_waits_for_a_query_in_flight(url: str) -> None:
    query = asyncio.create_task(db.fetch("select pg_sleep(0.2)::text as slept"))
    await wait_until_running(url)
    await db.close()
    assert await query == [{"slept": ""}]


async def test_close_drops_a_query_that_does_not_end_within_five_seconds(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[float] = []
    wait_for = asyncio.wait_for

    async def shorter(awaitable: Awaitable[Any], bound: float) -> Any:
        bounds.append(bound)
        return await wait_for(awaitable, 0.2)

    query = asyncio.create_task(db.fetch("select pg_sleep(60)"))
    await wait_until_running(url)
    monkeypatch.setattr(asyncio, "wait_for", shorter)
    started = time.monotonic()
    await db.close()
    assert bounds == [5]
    assert time.monotonic() - started < 20
    with pytest.raises(asyncpg.InterfaceError):
        await query
    await cut(url, "app")  # The server would sleep on: it looks at the client only between queries.


async def wait_until_running(url: str) -> None:
    """Return once a query of the pool's runs on the server."""
    running = "select count(*) from pg_stat_activity where application_name = 'app' and query like '%pg_sleep%'"
    while await raw(url, running) == 0:
        await asyncio.sleep(0.01)


# DATABASE_URL and DB_POOL_MAX


def test_neons_url_works_as_pasted_and_stays_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"  {NEON}?sslmode=require&channel_binding=require\n")
    assert settings.database_url() == f"{NEON}?sslmode=require"


async def test_a_url_with_channel_binding_reaches_the_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{url}?sslmode=prefer&channel_binding=require&connect_timeout=10")
    assert await db.fetch("select 1 as one") == [{"one": 1}]


def test_what_is_percent_encoded_in_the_url_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgres://ada%40x:p%40ss%2Fw%3F%23@[::1]:5433/app?application_name=my+app"
    monkeypatch.setenv("DATABASE_URL", address)
    assert settings.database_url() == address


@pytest.mark.parametrize("missing", [None, "", "   "])
async def test_a_missing_url_is_one_sentence_that_says_what_to_do(
    missing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    if missing is not None:
        monkeypatch.setenv("DATABASE_URL", missing)
    with pytest.raises(settings.SettingError, match=r"^DATABASE_URL is not set: [^\n]*\.env[^\n]*$"):
        await db.fetch("select 1")


@pytest.mark.parametrize(
    "malformed",
    [
        "s3cr3t",
        "mysql://ada:s3cr3t@host/db",
        "https://ada:s3cr3t@host/db",
        "psql 'postgresql://ada:s3cr3t@host/db'",
        "postgresql://",
        "postgresql:///db?password=s3cr3t",
        "postgresql://ada:s3cr3t@host:port/db",
        "postgresql://ada:s3cr3t@host:99999/db",
        "postgresql://ada:s3cr3t@host:0/db",
        "postgresql://ada:s3cr3t@[host/db",
        "postgresql://ada:s3cr3t#1@host/db",
    ],
)
async def test_a_malformed_url_is_one_sentence_without_the_password(
    malformed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", malformed)
    with pytest.raises(settings.SettingError, match=r"^DATABASE_URL is not a Postgres URL: [^\n]+$") as raised:
        await db.fetch("select 1")
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("size", ["0", "-1", "ten", "2.5", " ", "1e3"])
async def test_an_impossible_pool_size_is_one_sentence(size: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOL_MAX", size)
    with pytest.raises(settings.SettingError, match=rf"^DB_POOL_MAX is '{size}': [^\n]+$"):
        await db.fetch("select 1")


# PgBouncer


@pytest.fixture
def pooler(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """PgBouncer in transaction mode with two connections to the server: its address without a host name.

    Names are made up, as Neon's is; the connection goes through the real program.
    """
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian and Ubuntu: apt-get install pgbouncer)")
    server, port = urlsplit(url), free_port()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as cleanup:
        folder = Path(name)
        settings_ = folder / "pgbouncer.ini"
        settings_.write_text(
            f"[databases]\npostgres = host={server.hostname} port={server.port}\n[pgbouncer]\npool_mode = transaction\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {folder}/users.txt\ndefault_pool_size = 2\n"
        )
        (folder / "users.txt").write_text(f'"postgres" "{server.password}"\n')
        command = [program, str(settings_)]
        if os.geteuid() == 0:  # It refuses to run as root.
            nobody = pwd.getpwnam("nobody")
            for path in (folder, *folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            command = [program, "-u", nobody.pw_name, str(settings_)]
        log = cleanup.enter_context((folder / "log").open("wb"))
        process = cleanup.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        cleanup.callback(process.kill)
        wait_for_port(port, process, folder / "log")
        resolve: Callable[..., Any] = socket.getaddrinfo

        def with_the_pooler(host: Any, *rest: Any, **options: Any) -> Any:
            return resolve("127.0.0.1" if str(host).endswith(".test") else host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", with_the_pooler)
        yield f"postgresql://postgres:{server.password}@{{host}}:{port}/postgres"


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize(
    ("host", "options"),
    [("ep-a-1-pooler.test", "?channel_binding=require"), ("database.test", ""), ("127.0.0.1", "?pgbouncer=true")],
)
async def test_everything_works_through_pgbouncer_in_transaction_mode_whatever_it_is_called(
    host: str, options: str, url: str, pooler: str, pools: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", pooler.format(host=host) + options)
    assert await db.migrate() == []
    for _ in range(3):
        await asyncio.gather(*(db.record("health_check", "run", str(n), "cust_001", n=n) for n in range(30)))
        await asyncio.gather(*(db.get_customer("cust_001") for _ in range(30)))
    asked = [{"call_id": "call", "order_id": "A-1", "amount_cents": 100, "reason": "Duplicate charge"}]
    await ledger.open_requests("run", "request", "cust_001", asked)
    [row] = await ledger.of_run("run")
    assert await decide(row["id"], approved=True, by="grace") is None
    await payments.issue("run", "call", "cust_001", "A-1", 100, "Duplicate charge")
    assert await raw(url, "select count(*) from audit_log where action = 'health_check'") == 30
    assert await raw(url, "select count(*) from refunds where status = 'issued'") == 1
    assert [made["statement_cache_size"] for made in pools] == [0]


async def test_without_a_pooler_statements_are_prepared_once(
    url: str, pools: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{url}?pgbouncer=true")
    await db.pool()
    assert [made["statement_cache_size"] for made in pools] == [100]


# Certificates


@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ("", None),
        ("?sslmode=require", None),
        ("?sslmode=verify-full", True),
        ("?sslmode=verify-full&sslrootcert=system", True),
        ("?sslrootcert=system", True),
        ("?sslmode=verify-full&sslrootcert=authority.pem", None),
    ],
)
def test_a_certificate_is_checked_by_the_systems_authorities_where_no_file_names_others(
    options: str, trusted: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", f"{NEON}{options}")
    assert settings.database_tls() is trusted


# A server that goes away


async def test_connections_cut_while_idle_are_replaced_unnoticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOL_MAX", "5")
    await asyncio.gather(*(db.fetch("select pg_sleep(0.02)") for _ in range(5)))
    assert await cut(url, "app") == 5
    rows = await asyncio.gather(*(db.fetch("select 1 as one") for _ in range(20)))
    assert rows == [[{"one": 1}]] * 20


async def test_connections_cut_during_their_queries_are_replaced_and_each_query_is_tried_once_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_POOL_MAX", "5")
    tries = 0

    async def work(connection: db.Connection) -> Any:
        nonlocal tries
        tries += 1
        await connection.execute(
            "insert into audit_log (key, action, run_id) values (gen_random_uuid(), $1, '')", "health_check"
        )
        return await connection.fetchval("select 7 from pg_sleep(0.3)")

    tasks = [asyncio.create_task(db.transaction(work)) for _ in range(5)]
    while await connections_of(url, "app") < 5 or tries < 5:
        await asyncio.sleep(0.01)
    await wait_until_running(url)
    assert await cut(url, "app") == 5
    assert await asyncio.gather(*tasks) == [7] * 5
    assert tries == 10
    assert await raw(url, "select count(*) from audit_log") == 5


class Network:
    """Between the pool and the server. The end of a connection takes a moment to arrive.

    After `cut()` nothing of the connections so far arrives any more, on either side, as behind a firewall that forgot
    them or after a laptop's sleep: nobody is told.
    """

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server)
        self.cuts = 0
        self.connected: list[asyncio.Task[Any] | None] = []
        self.writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        self.cuts += 1

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if cuts == self.cuts:
                    writer.write(data)
        await asyncio.sleep(0.1)
        writer.close()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.append(asyncio.current_task())
        there, back = await asyncio.open_connection(self.server.hostname, self.server.port)
        self.writers += [writer, back]
        await asyncio.gather(self.carry(reader, back, self.cuts), self.carry(there, writer, self.cuts))

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*(task for task in self.connected if task))


@pytest.fixture
async def network(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """The pool's connections go through it."""
    between = Network(url)
    async with await asyncio.start_server(between.connect, "127.0.0.1", 0) as listens:
        port = listens.sockets[0].getsockname()[1]
        through = url.replace(f":{between.server.port}/", f":{port}/")
        monkeypatch.setenv("DATABASE_URL", f"{through}?application_name=app")
        yield between
        await db.close()
        await between.close()


async def test_connections_whose_end_is_still_on_its_way_are_replaced_too(
    url: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's farewell has arrived, the end of the connection has not: asyncpg calls that something else."""
    monkeypatch.setenv("DB_POOL_MAX", "5")
    await asyncio.gather(*(db.fetch("select pg_sleep(0.05)") for _ in range(5)))
    assert await cut(url, "app") == 5
    await asyncio.sleep(0.05)
    assert await asyncio.gather(*(db.fetch("select 1 as one") for _ in range(20))) == [[{"one": 1}]] * 20


async def test_the_first_connection_that_went_silent_costs_a_timeout_and_the_others_nothing(
    network: Network, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    once = db._once

    async def counted(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        return await once(*arguments)

    monkeypatch.setattr(db, "_once", counted)
    await asyncio.gather(*(db.fetch("select pg_sleep(0.05)") for _ in range(5)))
    looked_for_a_pooler = 1
    assert (tries, len(network.connected)) == (5, 5 + looked_for_a_pooler)
    network.cut()
    assert await db.fetch("select 1 as one") == [{"one": 1}]
    assert tries == 5 + 2
    assert await asyncio.gather(*(db.fetch("select 1 as one") for _ in range(5))) == [[{"one": 1}]] * 5
    assert tries == 5 + 2 + 5


async def test_the_first_connection_of_all_is_tried_once_more_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended compute refuses the connection that wakes it, and that is the one by which a pooler is looked for."""
    connect, tries = asyncpg.connect, 0

    async def refused_once(*arguments: Any, **options: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return await connect(*arguments, **options)

    monkeypatch.setattr(asyncpg, "connect", refused_once)
    assert await db.fetch("select 1 as one") == [{"one": 1}]


async def test_a_query_is_tried_twice_and_not_more(url: str) -> None:
    tries = 0

    async def work(connection: db.Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(db.DROPPED):
        await db.transaction(work)
    assert tries == 2


async def test_what_the_database_refuses_is_not_tried_again(url: str) -> None:
    tries = 0

    async def work(connection: db.Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("insert into customers values ('cust_001', 'x@example.com', 'pro')")

    with pytest.raises(asyncpg.UniqueViolationError):
        await db.transaction(work)
    assert tries == 1


async def test_a_restart_of_the_server_goes_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres() as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        await db.migrate()
        await asyncio.gather(*(db.record("health_check", "before", str(n), "cust_001") for n in range(10)))
        await asyncio.to_thread(server.restart)
        await asyncio.gather(*(db.record("health_check", "after", str(n), "cust_001") for n in range(10)))
        assert await raw(server.url, "select count(*) from audit_log") == 20
        await db.close()


async def test_while_the_server_is_down_calls_fail_at_once_and_when_it_is_back_they_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedPostgres(tmp_path, port=free_port(), durable=False) as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        await db.migrate()
        await asyncio.to_thread(server.stop, immediate=True)
        started = time.monotonic()
        failures = await asyncio.gather(*(db.get_customer("cust_001") for _ in range(5)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ConnectionRefusedError] * 5
        assert time.monotonic() - started < 8
        await asyncio.to_thread(server.start)
        assert await db.get_customer("cust_001")
        await db.close()


async def test_a_server_that_hangs_costs_two_timeouts_and_when_it_goes_on_so_do_we(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedPostgres() as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        await db.migrate()
        server.pause()
        started = time.monotonic()
        failures = await asyncio.gather(*(db.get_customer("cust_001") for _ in range(5)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [TimeoutError] * 5
        assert time.monotonic() - started < 10
        server.resume()
        assert await db.get_customer("cust_001")
        await db.close()


async def test_a_query_that_hangs_ends_and_gives_its_connection_back(
    url: str, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_POOL_MAX", "1")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await db.fetch("select pg_sleep(60)")
    assert time.monotonic() - started < 20
    assert await db.fetch("select 1 as one") == [{"one": 1}]
    assert (
        await raw(
            url,
            "select count(*) from pg_stat_activity where query like '%(60)%' and state = 'active'"
            " and pid <> pg_backend_pid()",
        )
        == 0
    )


async def test_a_query_may_take_fifteen_seconds_and_a_connection_ten(url: str, pools: list[dict[str, Any]]) -> None:
    await db.fetch("select 1")
    assert (pools[0]["command_timeout"], pools[0]["timeout"]) == (15, 10)


# Customers and the audit trail


async def test_a_customer_is_found_by_id_and_a_stranger_is_none() -> None:
    assert await db.get_customer("cust_001") == {"id": "cust_001", "email": "ada@example.com", "tier": "enterprise"}
    for stranger in ("cust_999", "", "CUST_001", "cust_001\0", "\ud800", "' or true --"):
        assert await db.get_customer(stranger) is None


async def test_an_action_outside_the_closed_set_raises_before_the_database_is_asked(
    pools: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def noted(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
        executed.append(query)
        return await fetch(self, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    with pytest.raises(ValueError, match=r"'message_lost' is not an audit action; the actions are message_received, "):
        await db.record("message_lost", "run", "step", "cust_001")  # type: ignore[arg-type]
    assert [query for query in executed if "insert" in query] == []
    await db.record("message_sent", "run", "step", "cust_001")
    assert len([query for query in executed if "insert" in query]) == 1


async def test_the_closed_set_is_the_same_in_python_and_in_the_database(url: str) -> None:
    for action in get_args(db.AuditAction):
        await db.record(action, "run", action, "cust_001")
    assert await raw(url, "select array_agg(action order by id) from audit_log") == list(get_args(db.AuditAction))
    [constraint] = await db.fetch(
        "select pg_get_constraintdef(oid) as definition from pg_constraint"
        " where conrelid = 'audit_log'::regclass and contype = 'c'"
    )
    assert sorted(constraint["definition"].split("'")[1::2]) == sorted(get_args(db.AuditAction))
    with pytest.raises(asyncpg.CheckViolationError):
        await raw(url, "insert into audit_log (key, action, run_id) values ('k', 'message_lost', 'r')")


async def test_the_same_step_written_ten_times_at_once_is_one_row_and_the_first_stands(url: str) -> None:
    await db.record("message_sent", "run", "step", "cust_001", reply="first")
    again = (db.record("message_sent", "run", "step", "cust_002", reply="second") for _ in range(10))
    await asyncio.gather(*again)
    await db.record("message_sent", "run", "step-2", "cust_001", reply="third")
    await db.record("message_sent", "run-2", "step", "cust_001", reply="fourth")
    replies = await raw(url, "select array_agg(detail ->> 'reply' order by id) from audit_log")
    assert replies == ["first", "third", "fourth"]


async def test_what_postgres_cannot_store_becomes_the_replacement_character(url: str) -> None:
    await db.record(
        "message_received",
        "run\0",
        "st\ud800ep",
        "cust\0",
        text="a\0b\ud83d!\udc00",
        nested={"k\0": ["\udfff", ("\0",)]},
    )
    [row] = await db.fetch("select run_id, key, customer_id, detail from audit_log")
    assert row["run_id"] == "run\ufffd"
    assert row["key"] == "run\ufffd:st\ufffdep"
    assert row["customer_id"] == "cust\ufffd"
    assert json.loads(row["detail"]) == {"text": "a\ufffdb\ufffd!\ufffd", "nested": {"k\ufffd": ["\ufffd", ["\ufffd"]]}}


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_clean_text_is_storable_and_nothing_else_is_changed(text: str) -> None:
    cleaned = db.clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    if "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert cleaned == text
    assert db.clean(cleaned) == cleaned


@examples(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    detail=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
async def test_whatever_json_a_detail_holds_it_is_written(detail: Any, url: str) -> None:
    await rewrite("delete from audit_log returning 1")
    await db.record("run_failed", "run", "step", None, detail=detail)
    assert await db.fetch("select 1 as one from audit_log") == [{"one": 1}]
