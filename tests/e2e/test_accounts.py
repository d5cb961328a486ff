"""`python -m offline dev` in a learner's folder: a build that knows only its `.env` works without an account."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from offline import accounts
from offline.processes import free_port
from tests.e2e.programs import ROOT, left_behind, up_to

pytestmark = pytest.mark.timeout(120)

# What any build does first: it reads .env and uses what it finds there.
BUILD = """
import asyncio, os
import asyncpg
from dotenv import load_dotenv
load_dotenv(".env")
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("create table if not exists seen (at timestamptz default now())")
    await connection.execute("insert into seen default values")
    count = await connection.fetchval("select count(*) from seen")
    print("rows:", count)
    if "OPENAI_BASE_URL" in os.environ:
        import openai
        answer = await openai.AsyncOpenAI().responses.create(model="gpt-5.4-mini", input="Where is my invoice?")
        print(answer.output_text)
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


def tools(engine: str) -> str:
    """What the engine's MCP server offers."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"accept": "application/json, text/event-stream"}
    return httpx.post(f"{engine}/mcp", json=asked, headers=accept, trust_env=False).text


def test_a_build_works_by_its_env_file_alone_and_its_rows_stay(folder: Path, temporary: Path) -> None:
    """The second time only Postgres is a stand-in: the rows are still there, and the rest is left to its owner."""
    (folder / ".env.example").write_text(EXAMPLE)
    (folder / ".env").write_text(EXAMPLE + "MODEL=gpt-5.4-mini")
    arguments = ports()
    dev = start(folder, temporary, *arguments)
    guide = up_to("Ctrl-C", dev)
    assert "These are stand-ins" in guide, guide
    printed = build(folder)
    assert printed.startswith("rows: 1\n"), printed
    assert "invoice" in printed
    engine = next(line.split("=")[1] for line in guide.splitlines() if "INNGEST_DEV=" in line)
    assert "stand-in" in httpx.get(engine, trust_env=False).text
    assert "poll_run_status" in tools(engine)
    assert end(dev).endswith("Stopped. The data stays in .offline/, and the lines stay in .env.\n")
    assert dev.returncode == 0
    written = (folder / ".env").read_text()
    assert written.startswith(EXAMPLE + "MODEL=gpt-5.4-mini\n")
    assert written.count("OPENAI_API_KEY=offline") == written.count("INNGEST_DEV=http") == 1

    dev = start(folder, temporary, *arguments, "--only", "postgres")
    guide = up_to("Ctrl-C", dev)
    assert "DATABASE_URL=" in guide
    assert "OPENAI" not in guide
    assert build(folder) == "rows: 2\n"
    end(dev)
    written = (folder / ".env").read_text()
    assert written.startswith(EXAMPLE + "MODEL=gpt-5.4-mini\n")
    assert written.count("DATABASE_URL=postgresql://postgres:") == 1
    assert "OPENAI_API_KEY=offline" not in written
    assert "INNGEST_DEV=http" not in written
    assert {path.name for path in folder.iterdir()} == {".env", ".env.example", ".offline"}
    assert left_behind(temporary) == []


def test_a_key_of_the_owners_own_stays_and_is_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("OPENAI_API_KEY=sk-mine\n")
    variables = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "offline"}
    model = accounts.Account("OpenAI", "a model that follows rules", variables)
    left_out = accounts.write_env([model])
    assert left_out == [model]
    assert "not written: your .env has a value of your own" in accounts.guide([model], left_out)
    assert Path(".env").read_text() == "OPENAI_API_KEY=sk-mine\n"


def test_a_taken_port_is_named_with_the_way_out(folder: Path, temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = start(folder, temporary, *ports(), "--model-port", str(port))
        printed, _ = dev.communicate()
    assert dev.returncode == 1
    assert printed == f"Port {port} is taken. Stop what listens there, or choose another one: --model-port N\n"
