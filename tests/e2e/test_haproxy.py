"""The proxy's configuration that we ship, in front of a small application: half a request holds nobody up.

Needs HAProxy on the machine (on Debian and Ubuntu `apt-get install haproxy`); without it the tests are skipped.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offline.processes import free_port
from offline.production import HAPROXY, configuration
from tests.serving import listening
from web.limits import Limits

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the headers that it was sent."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(headers).encode()})


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a proxy in front of the small application."""
    front = free_port()
    async with listening(Limits(app, signed=False)) as url:
        proxy = started(tmp_path / "haproxy.cfg", front, url.removeprefix("http://"))
        await answering(front)
        yield front
        proxy.terminate()
        proxy.wait(10)


def started(file: Path, front: int, app_address: str) -> "subprocess.Popen[bytes]":
    """A proxy. Of the configuration only the addresses are changed, and TLS is left out."""
    file.write_text(configuration(front, [app_address]))
    assert HAPROXY is not None
    command = [HAPROXY, "-db", "-f", str(file)]
    checked = subprocess.run([*command, "-c"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[WARNING]" not in checked.stderr
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def answering(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the proxy did not start")


async def half_a_request(port: int, text: bytes) -> tuple[bytes, float]:
    """What comes back for this much of a request, and after how many seconds the connection is closed."""
    started = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    except ConnectionError:
        answer = b""
    return answer, time.monotonic() - started


async def test_half_sent_headers_are_closed_in_seconds_and_hold_nobody_up(port: int) -> None:
    silent = [half_a_request(port, b"POST /approvals HTTP/1.1\r\nHost: x\r\nX-Half: ") for _ in range(90)]
    all_of_them = asyncio.gather(*silent)
    await asyncio.sleep(0.5)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        assert (await http.get("/approvals")).status_code == 200
    for answer, seconds in await all_of_them:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert seconds < 8


async def test_a_body_that_stops_is_closed_in_seconds(port: int) -> None:
    head = b"POST /approvals/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx="
    answer, seconds = await half_a_request(port, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert seconds < 8


async def test_one_address_holds_a_hundred_connections_at_most(port: int) -> None:
    answers = await asyncio.gather(*(half_a_request(port, b"GET ") for _ in range(150)))
    assert sum(1 for answer, _ in answers if answer.startswith(b"HTTP/1.1 408 ")) <= 100


async def test_only_the_doors_are_reachable_and_nobody_says_where_they_come_from(port: int) -> None:
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-host": "evil.example", "forwarded": "for=203.0.113.9"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for path in ("/approvals", "/approvals/1", "/api/inngest", "/webhooks/email", "/webhooks/stripe"):
            answer = await http.get(path, headers=forged)
            assert answer.status_code == 200, path
            seen = answer.json()
            assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")
            assert not {"x-forwarded-host", "forwarded"} & seen.keys()
        for path in ("/openapi.json", "/healthz", "/readyz", "/", "/approvalsx", "/api/inngest/x"):
            assert (await http.get(path)).status_code == 404, path
