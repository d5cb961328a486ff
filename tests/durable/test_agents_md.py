"""What AGENTS.md tells a coding agent to type is typed, and the tools that it tells it to call are called.

Only the official dev server's own command cannot be run without Node; the stand-in takes its place.
"""

import asyncio
import json
import os
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mcp import Client

import db
from offline.inngest_server import DevServer
from offline.processes import free_port
from tests.durable.driver import OFFICIAL, Engine, actions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "AGENTS.md").read_text()
SHELL, CURL = re.findall(r"```\n(.*?)```", TEXT, re.S)
COMMANDS = [line.split("  #")[0].strip() for line in SHELL.splitlines()]
CALLS = re.findall(r"`([a-z_]+) (\{.*?\})`", TEXT)
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


async def typed(command: str) -> str:
    """What a command prints. A command that does not succeed fails the test."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command), cwd=ROOT, env=os.environ | ENVIRONMENT, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def test_the_file_is_short_and_claude_reads_the_same() -> None:
    assert len(TEXT.splitlines()) < 150
    assert (ROOT / "CLAUDE.md").resolve() == ROOT / "AGENTS.md"


async def test_the_database_and_the_worker_are_run_as_they_are_told_to(database: None) -> None:
    migrate, answer = COMMANDS[:2]
    assert "up to date" in await typed(migrate)
    assert await typed(answer)


@pytest.mark.skipif(bool(OFFICIAL), reason="the app is started beside a stand-in of its own")
async def test_the_app_is_started_and_asked_as_told_and_the_event_is_sent(database: None) -> None:
    serve, ready, dev_server = COMMANDS[2:]
    assert dev_server.split()[:2] == ["npx", "inngest-cli@latest"]
    port = str(free_port())
    app_url = dev_server.split()[-1].replace("8000", port)
    arguments = shlex.split(serve.replace("8000", port))
    app = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, env=os.environ | ENVIRONMENT)
    try:
        async with DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, sdk_urls=[app_url]) as engine:
            await engine.synced("customer-support", timeout=60)
            assert json.loads(await typed(ready.replace("8000", port))) == {"status": "ok"}
            await typed(CURL.replace("http://127.0.0.1:8288", engine.origin))
            for _ in range(400):
                if await db.fetch("select from refunds where request_id = 'mail-1'"):
                    break
                await asyncio.sleep(0.05)
            assert await actions() == {"message_received": 1}
    finally:
        app.kill()
        await app.wait()


async def test_every_tool_that_is_told_exists_with_these_parameters(engine: Engine) -> None:
    async with Client(f"{os.environ['INNGEST_DEV']}/mcp") as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    assert len(CALLS) >= 10
    for name, arguments in CALLS:
        # What stands in inner brackets is put away, so that only the names of parameters are left.
        flat = re.sub(r"(?<=: )[\[{].*?[\]}]", '"…"', arguments)
        given = set(re.findall(r'"(\w+)":', flat))
        schema = tools[name]
        assert given <= schema.get("properties", {}).keys(), name
        assert set(schema.get("required", [])) <= given, name


async def test_an_email_is_sent_followed_and_looked_into_by_the_tools_alone(engine: Engine) -> None:
    async with Client(f"{os.environ['INNGEST_DEV']}/mcp") as client:

        async def call(tool: str, **arguments: object) -> dict[str, object]:
            result = await client.call_tool(tool, dict(arguments))
            assert not result.is_error, result.content
            assert result.structured_content is not None
            answer: dict[str, object] = result.structured_content
            return answer

        listed = str(await call("list_functions", appId="customer-support"))
        assert "handle-customer-email" in listed
        data = {"customer_id": "cust_001", "email_text": "How long does shipping to Norway take?"}
        sent = await call("send_event", name="customer/email.received", data=data)
        (run_id,) = sent["runIds"] if isinstance(sent["runIds"], list) and sent["runIds"] else [""]
        await call("poll_run_status", runIds=[run_id], timeout=30)
        assert "COMPLETED" in str(await call("get_run", runId=run_id, includeOutput=True))
        trace = str(await call("get_run_trace", runId=run_id, includeOutput=True))
        assert all(step in trace for step in ("audit-received", "run-agent", "audit-sent"))
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
