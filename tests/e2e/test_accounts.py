"""`python -m offline dev` in a learner's folder: a build that knows only its `.env` works without an account."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from offline.processes import free_port
from tests.e2e.programs import ROOT, left_behind, up_to

pytestmark = pytest.mark.timeout(120)

# What any build does first: it reads .env and uses what it finds there.
BUILD = """
import asyncio, os
import asyncpg, openai
from dotenv import load_dotenv
load_dotenv(".env")
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("create table if not exists seen (at timestamptz default now())")
    await connection.execute("insert into seen default values")
    count = await connection.fetchval("select count(*) from seen")
    answer = await openai.AsyncOpenAI().responses.create(model="gpt-5.4-mini", input="Where is my invoice?")
    print(count, "invoice" in answer.output_text)
asyncio.run(main())
"""
EXAMPLE = "DATABASE_URL=postgresql://user@example.neon.tech/db\nOPENAI_API_KEY=sk-...\nINNGEST_DEV=1\n"


@pytest.fixture
def folder(temporary: Path, tmp_path: Path) -> Path:
    """A learner's folder. Postgres runs as another user when the test runs as root, and has to reach it."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    return tmp_path


def ports() -> list[str]:
    return [word for name in ("engine", "postgres", "model") for word in (f"--{name}-port", str(free_port()))]


def start(folder: Path, temporary: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "offline", "dev", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(dev: "subprocess.Popen[str]") -> str:
    dev.send_signal(signal.SIGINT)
    rest, _ = dev.communicate()
    return rest


def build(folder: Path) -> str:
    command = [sys.executable, "-c", BUILD]
    done = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_build_works_by_its_env_file_alone_and_its_rows_stay(folder: Path, temporary: Path) -> None:
    (folder / ".env.example").write_text(EXAMPLE)
    (folder / ".env").write_text(EXAMPLE + "MODEL=gpt-5.4-mini")
    arguments = ports()
    for count in (1, 2):
        dev = start(folder, temporary, *arguments)
        guide = up_to("Ctrl-C", dev)
        assert "These are stand-ins" in guide, guide
        assert build(folder) == f"{count} True\n"
        engine = next(line.split("=")[1] for line in guide.splitlines() if "INNGEST_DEV=" in line)
        assert "stand-in" in httpx.get(engine, trust_env=False).text
        assert end(dev).endswith("Stopped. The data stays in .offline/, and the lines stay in .env.\n")
        assert dev.returncode == 0
    written = (folder / ".env").read_text()
    assert written.startswith(EXAMPLE + "MODEL=gpt-5.4-mini\n")
    assert written.count("OPENAI_API_KEY=offline") == written.count("INNGEST_DEV=http") == 1
    assert {path.name for path in folder.iterdir()} == {".env", ".env.example", ".offline"}
    assert left_behind(temporary) == []


def test_one_account_alone_leaves_the_others_to_their_owner(folder: Path, temporary: Path) -> None:
    (folder / ".env").write_text("OPENAI_API_KEY=sk-mine\n")
    dev = start(folder, temporary, *ports(), "--only", "postgres")
    guide = up_to("Ctrl-C", dev)
    assert "DATABASE_URL=" in guide
    assert "OPENAI" not in guide
    end(dev)
    assert "OPENAI_API_KEY=sk-mine\n" in (folder / ".env").read_text()
    assert "INNGEST_DEV" not in (folder / ".env").read_text()


def test_a_key_of_the_owners_own_stays_and_is_spoken_of(folder: Path, temporary: Path) -> None:
    (folder / ".env").write_text("OPENAI_API_KEY=sk-mine\n")
    dev = start(folder, temporary, *ports(), "--only", "model")
    assert "not written: your .env has a value of your own" in up_to("Ctrl-C", dev)
    assert end(dev)
    assert (folder / ".env").read_text() == "OPENAI_API_KEY=sk-mine\n"


def test_the_engine_has_its_mcp_server(folder: Path, temporary: Path) -> None:
    dev = start(folder, temporary, *ports(), "--only", "engine")
    guide = up_to("Ctrl-C", dev)
    engine = next(line.split("=")[1] for line in guide.splitlines() if "INNGEST_DEV=" in line)
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{engine}/mcp", json=asked, headers=accept, trust_env=False)
    assert "poll_run_status" in answer.text
    end(dev)


def test_a_taken_port_is_named_with_the_way_out(folder: Path, temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = start(folder, temporary, *ports(), "--model-port", str(port))
        printed, _ = dev.communicate()
    assert dev.returncode == 1
    assert printed == f"Port {port} is taken. Stop what listens there, or choose another one: --model-port N\n"
