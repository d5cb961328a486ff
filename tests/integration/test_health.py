"""/healthz says that the process lives, /readyz that it can work. Runs without any account."""

import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

import db
import inngest_app
from offline.postgres import EmbeddedPostgres

pytestmark = pytest.mark.usefixtures("database")
ADVICE = "The database does not answer, or `python db.py` has not been run; the log says which."


@pytest.fixture
async def http(database: None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, without a port."""
    transport = httpx.ASGITransport(inngest_app.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        yield client
    await db.close()


async def test_a_process_with_a_database_is_alive_and_ready(http: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_without_a_database_it_is_alive_and_not_ready_and_the_log_says_why(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await db.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3cr3t@127.0.0.1:1/away")
    with caplog.at_level(logging.WARNING):
        ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": ADVICE})
    assert (await http.get("/healthz")).status_code == 200
    assert "ConnectionRefusedError" in caplog.text
    assert "s3cr3t" not in caplog.text + ready.text


@pytest.mark.parametrize("table", ["refunds", "first_approvals"])
async def test_without_our_tables_it_is_not_ready(
    table: str, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await db.fetch(f"alter table {table} rename to elsewhere")
    try:
        ready = await http.get("/readyz")
    finally:
        await db.fetch(f"alter table elsewhere rename to {table}")
    assert (ready.status_code, ready.json()) == (503, {"status": ADVICE})
    assert "UndefinedTableError" in caplog.text
    assert (await http.get("/readyz")).status_code == 200


async def test_after_an_outage_it_is_ready_again_without_a_restart(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.close()
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        await db.migrate()
        assert (await http.get("/readyz")).status_code == 200
        await asyncio.to_thread(server.restart, immediate=True)
        assert (await http.get("/readyz")).status_code == 200
        await db.close()


async def test_a_database_that_hangs_is_not_ready_in_a_bounded_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.close()
    create, short = asyncpg.create_pool, {"timeout": 0.2, "command_timeout": 0.2}
    monkeypatch.setattr(asyncpg, "create_pool", lambda dsn, **given: create(dsn, **(given | short)))
    connect = asyncpg.connect
    monkeypatch.setattr(asyncpg, "connect", lambda dsn, **given: connect(dsn, **(given | short)))
    listens = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = listens.sockets[0].getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:s3cr3t@127.0.0.1:{port}/silent?sslmode=disable")
    started = time.monotonic()
    assert (await http.get("/readyz")).status_code == 503
    assert time.monotonic() - started < 8
    listens.close()


async def test_stopping_the_app_closes_its_database_connections(http: httpx.AsyncClient) -> None:
    async with inngest_app.app.router.lifespan_context(inngest_app.app):
        opened = await db.pool()
        await db.fetch("select 1")
        assert opened.get_size() > 0
    assert opened.is_closing()
    assert opened.get_size() == 0


async def test_with_no_file_left_who_was_connected_before_is_still_answered(database: None, tmp_path: Path) -> None:
    files, log = 120, tmp_path / "log"
    limited = ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
    app = (sys.executable, "-m", "uvicorn", "inngest_app:app", "--port", "0")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*limited, *app, stdout=output, stderr=output)
    try:
        port = await its_port(process, log.read_text)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as before:
            assert (await before.get("/approvals")).status_code == 200
            strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(files)]
            await asyncio.sleep(0.2)
            for path in ("/healthz", "/readyz", "/approvals", "/approvals/audit", "/approvals/9"):
                assert (await before.get(path)).status_code == (404 if path == "/approvals/9" else 200)
            for _, writer in strangers:
                writer.close()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    assert log.read_text().count("No file is left for another connection.") == 1
    assert "socket.accept() out of system resource" not in log.read_text()


async def its_port(process: asyncio.subprocess.Process, said: Callable[[], str]) -> int:
    """The port that uvicorn says it listens on, when it does."""
    for _ in range(600):
        if found := re.search(r"running on http://127.0.0.1:(\d+)", said()):
            return int(found[1])
        assert process.returncode is None, said()
        await asyncio.sleep(0.1)
    raise AssertionError(f"the app did not start within a minute: {said()}")
