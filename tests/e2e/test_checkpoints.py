"""Each checkpoint runs, passes the gates of its Decisions, and not the next one's.

The app runs from the checkpoint's folder as a process of its own, beside a stand-in engine and a real Postgres.
"""

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

import db
from gates.__main__ import run
from gates.report import Report
from gates.world import Build
from offline import kit
from offline.inngest_server import DevServer
from offline.processes import free_port
from tests.durable.driver import OFFICIAL, actions

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="each checkpoint needs an engine of its own")
PATIENCE_SECONDS = 8
NOTHING: Mapping[str, str] = {}


def environment_for(folder: Path) -> dict[str, str]:
    """The checkpoint's own files and, beside them, the stand-in for the model; nothing else of this repository."""
    beside = folder.with_name("beside")
    beside.mkdir()
    (beside / "offline").symlink_to(Path(kit.__file__).parent)
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{beside}", "PYTHONSAFEPATH": "1"}


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    """The checkpoint's app, known to an engine; the engine's URL."""
    port = free_port()
    environment = environment_for(folder)
    command = [sys.executable, "-m", "uvicorn", "inngest_app:app", "--port", str(port), "--log-level", "warning"]
    command += ["--timeout-keep-alive", "300"]
    app = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment)
    try:
        url = f"http://127.0.0.1:{port}/api/inngest"
        async with DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, sdk_urls=[url]) as engine:
            await engine.synced("customer-support", timeout=60)
            yield engine.origin
    finally:
        app.kill()
        await app.wait()


@pytest.fixture
async def checkpoint(
    request: pytest.FixtureRequest, database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Path]:
    """The folder of a checkpoint, and a database with the tables that it makes itself and no others."""
    folder = tmp_path / "checkpoint"
    kit.write_checkpoint(request.param, folder)
    administrator = await asyncpg.connect(os.environ["DATABASE_URL"])
    await administrator.execute("create database checkpoint")
    await db.close()
    monkeypatch.setenv("DATABASE_URL", os.environ["DATABASE_URL"].rpartition("/")[0] + "/checkpoint")
    made = await asyncio.create_subprocess_exec(sys.executable, "db.py", cwd=folder)
    assert await asyncio.wait_for(made.wait(), 60) == 0
    yield folder
    await db.close()
    await administrator.execute("drop database checkpoint with (force)")
    await administrator.close()


async def gates_that_fail(
    names: list[str], engine: str = "", environment: Mapping[str, str] = NOTHING, beyond: bool = False
) -> set[str]:
    report = Report(io.StringIO())
    build = Build(
        engine,
        os.environ["DATABASE_URL"],
        patience=PATIENCE_SECONDS,
        limits=(10, 2, 6000),
        environment=environment,
        beyond=beyond,
    )
    await run(names, build, report)
    return {finding.gate for finding in report.failed}


@pytest.mark.parametrize("checkpoint", [0], indirect=True)
async def test_after_d0_the_worker_answers_by_itself_and_leaves_its_rows(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint)
    assert await gates_that_fail(["d0"], environment=environment_for(checkpoint), beyond=True) == set()
    # The second email waits for an approval.
    assert await actions() == {"message_received": 2, "message_sent": 1}


@pytest.mark.parametrize(("decision", "checkpoint"), [(n, n) for n in range(1, 6)], indirect=["checkpoint"])
async def test_a_checkpoint_passes_its_gates_and_not_the_next(decision: int, checkpoint: Path) -> None:
    """The worker of each is D0's, byte for byte, and D6 changes no code: tests/unit/test_kit.py says so."""
    async with running(checkpoint) as engine:
        names = [f"d{number}" for number in range(1, decision + 2)]
        assert await gates_that_fail(names, engine) == {f"D{decision + 1}"}
