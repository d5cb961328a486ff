"""Each checkpoint runs, passes the gates of its Decisions, and not the next one's.

The app runs from the checkpoint's folder as a process of its own, beside a stand-in engine and a real Postgres.
"""

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from gates.__main__ import run
from gates.report import Report
from offline import kit
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL
from tests.ports import free_port

pytestmark = [
    pytest.mark.skipif(bool(OFFICIAL), reason="each checkpoint needs an engine of its own"),
    pytest.mark.timeout(240),
]
PATIENCE_SECONDS = 8


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    """The checkpoint's app, known to an engine; the engine's URL."""
    port = free_port()
    # The stand-in for the model is not part of a checkpoint, so its folder is found at the end of the path.
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path(kit.__file__).parents[1]}"}
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


@pytest.mark.parametrize("decision", range(1, 6))
async def test_a_checkpoint_passes_its_gates_and_not_the_next(decision: int, database: None, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    kit.write_checkpoint(decision, folder)
    report = Report(Console(file=io.StringIO()))
    async with running(folder) as engine:
        names = [f"d{number}" for number in range(decision + 2)]
        await run(names, engine, os.environ["DATABASE_URL"], report, PATIENCE_SECONDS)
    failed = {finding.gate for finding in report.failed}
    assert failed == {f"D{decision + 1}"}, report.failed
