"""The embedded Postgres: it serves, survives and leaves nothing behind. Runs without any account or network."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from offline import postgres as module
from offline.postgres import EmbeddedPostgres, PostgresError
from offline.processes import free_port

ROOT = Path(__file__).parents[2]
LONG = 30.0


async def ask(url: str, *queries: str) -> object:
    """Run queries on one connection and return the last one's value."""
    connection = await asyncpg.connect(url, timeout=LONG)
    try:
        value: object = None
        for query in queries:
            value = await connection.fetchval(query)
        return value
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as running:
        yield running


async def test_it_speaks_utf8_whatever_the_machine_speaks(server: EmbeddedPostgres) -> None:
    assert await ask(server.url, "SHOW server_encoding") == "UTF8"
    assert await ask(server.url, "SELECT upper('zoë') || length('日本')") == "ZOË2"


async def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url, password="guessed")


async def test_two_servers_at_once_share_nothing(server: EmbeddedPostgres) -> None:
    with EmbeddedPostgres() as other:
        await ask(other.url, "CREATE TABLE only_there()")
        assert await ask(server.url, "SELECT to_regclass('only_there')::text") is None
    assert await ask(server.url, "SELECT 1") == 1


async def test_a_restart_keeps_the_url_and_the_data(server: EmbeddedPostgres) -> None:
    url, pid = server.url, server.pid
    await ask(url, "CREATE TABLE kept AS SELECT 1 AS n")
    server.restart()
    assert server.url == url
    assert server.pid != pid
    assert await ask(url, "SELECT n FROM kept") == 1


async def test_a_commit_survives_a_crash_of_the_server(server: EmbeddedPostgres) -> None:
    await ask(server.url, "CREATE TABLE committed AS SELECT 7 AS n")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_for_end(server.pid)
    server.restart()
    assert await ask(server.url, "SELECT n FROM committed") == 7


async def test_a_paused_server_hangs_and_a_resumed_one_answers(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    server.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncpg.connect(server.url), 0.3)
    server.resume()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


def test_a_paused_server_can_be_stopped() -> None:
    with EmbeddedPostgres() as frozen:
        gone = left_by(frozen)
        frozen.pause()
    assert_nothing_is_left(*gone)


async def test_a_data_folder_keeps_data_and_password_and_is_durable(tmp_path: Path) -> None:
    folder = tmp_path / "data of a learner"
    with EmbeddedPostgres(folder) as first:
        password = first.url.split("@")[0]
        await ask(first.url, "CREATE TABLE kept AS SELECT 1 AS n")
        assert await ask(first.url, "SHOW fsync") == "on"
    with EmbeddedPostgres(folder, durable=False) as second:
        assert second.url.split("@")[0] == password
        assert await ask(second.url, "SELECT n FROM kept") == 1
        assert await ask(second.url, "SHOW fsync") == "off"
    assert not (folder / "pgdata" / "postmaster.pid").exists()


def test_an_interrupted_first_start_does_not_spoil_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pgdata.new").mkdir()
    (tmp_path / "pgdata.new" / "PG_VERSION").write_text("18")
    with EmbeddedPostgres(tmp_path) as started:
        assert started.pid


async def test_a_path_longer_than_a_unix_socket_may_have_works(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / ("a long name " * 10).strip(), durable=False) as deep:
        assert await ask(deep.url, "SELECT 1") == 1


def test_two_servers_on_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        EmbeddedPostgres(tmp_path, durable=False),
        pytest.raises(PostgresError, match="another Postgres already runs on"),
    ):
        EmbeddedPostgres(tmp_path).start()


async def test_a_port_lost_to_somebody_else_costs_one_more_try(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr(module, "free_port", lambda: ports.pop(0))
        with EmbeddedPostgres() as started:
            assert ports == []
            assert await ask(started.url, "SELECT 1") == 1


def test_a_wanted_port_that_is_taken_is_named_in_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PostgresError, match=f"port {port} is taken"):
            EmbeddedPostgres(port=port).start()


def test_a_failed_start_shows_the_servers_own_words_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(module.SETTINGS, "no_such_setting", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(PostgresError, match="unrecognized configuration parameter"):
        EmbeddedPostgres().start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_as_root_the_server_runs_as_somebody_else(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert psutil.Process(server.pid).uids().effective != 0


def test_ctrl_c_in_a_terminal_reaches_the_owner_and_not_the_server(server: EmbeddedPostgres) -> None:
    server_pid, keeper_pid, _ = left_by(server)
    assert {os.getpgid(server_pid), os.getpgid(keeper_pid)} == {keeper_pid}


OWNER = """
import signal, sys
from offline.postgres import EmbeddedPostgres
with EmbeddedPostgres() as server:
    print(server.pid, server._keeper.pid, server._folder, flush=True)
    if sys.argv[1] == "raise": raise RuntimeError("on purpose")
    if sys.argv[1] == "forget": sys.exit(EmbeddedPostgres().start() and 0)
    signal.pause()
"""


def left_by(running: EmbeddedPostgres) -> tuple[int, int, Path]:
    assert running.pid
    assert running._keeper
    assert running._folder
    return running.pid, running._keeper.pid, running._folder


def assert_nothing_is_left(server_pid: int, keeper_pid: int, folder: Path) -> None:
    wait_for_end(server_pid)
    wait_for_end(keeper_pid)
    assert not folder.exists()


def wait_for_end(pid: int) -> None:
    """An orphan stays a zombie for as long as the container's first process cares to collect it."""
    deadline = time.monotonic() + LONG
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


@pytest.mark.parametrize("end", ["raise", "forget", signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_owner_ends_nothing_is_left(end: str | signal.Signals, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "LC_ALL": "xx_YY.KOI8", "PGPORT": "1"}
    argv = [sys.executable, "-c", OWNER, end if isinstance(end, str) else "wait"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=quiet) as owner:
        assert owner.stdout
        server_pid, keeper_pid, folder = owner.stdout.readline().split()
        if isinstance(end, signal.Signals):
            assert psutil.pid_exists(int(server_pid))
            owner.send_signal(end)
        try:
            owner.wait(LONG)
        finally:
            # Leaving the context waits for it without an end.
            owner.kill()
    assert_nothing_is_left(int(server_pid), int(keeper_pid), Path(folder))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_a_killed_keeper_takes_the_server_with_it() -> None:
    with EmbeddedPostgres() as running:
        server_pid, keeper_pid, folder = left_by(running)
        os.kill(keeper_pid, signal.SIGKILL)
        wait_for_end(server_pid)
    assert_nothing_is_left(server_pid, keeper_pid, folder)


def test_the_command_prints_the_address_and_stops_on_sigterm(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "offline.postgres", "--data", str(tmp_path), "--port", str(free_port())]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout
        url = command.stdout.readline().strip()
        assert asyncio.run(ask(url, "SELECT 1")) == 1
        command.terminate()
        assert command.wait(LONG) == 0
    assert not (tmp_path / "pgdata" / "postmaster.pid").exists()
