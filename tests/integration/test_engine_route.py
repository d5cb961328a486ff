"""The engine's route in production, attacked: only the engine registers the app, is answered, or costs any work.

Runs without an engine; a small server takes down what the app registers.
"""

import asyncio
import json
import runpy
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from aiohttp import web
from inngest._internal.net import sign_request

from tests.serving import Http, listening
from web import limits

ROOT = Path(__file__).parents[2]
KEY = "signkey-prod-" + "ab" * 32
ORIGIN = "https://support.example.com"
SYNC = b'{"url":"https://evil.example/api/inngest"}'


class Registry:
    """The engine's side of a registration: the URLs under which the app registered."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        posted = await request.json()
        steps = [function["steps"]["step"]["runtime"]["url"] for function in posted["functions"]]
        self.urls += [posted["url"], *{url.partition("?")[0] for url in steps}]
        return web.json_response({"ok": True})


@pytest.fixture
async def registry(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registry]:
    engine, app = Registry(), web.Application()
    app.router.add_post("/fn/register", engine.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("INNGEST_API_BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield engine
    await runner.cleanup()


@pytest.fixture
def app(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> fastapi.FastAPI:
    """The app as production starts it."""
    monkeypatch.delenv("INNGEST_DEV")
    monkeypatch.setenv("INNGEST_EVENT_KEY", "event-key-1234")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", KEY)
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", ORIGIN)
    monkeypatch.setenv("PAYMENTS", "ledger")
    return runpy.run_path(str(ROOT / "inngest_app.py"))["app"]  # type: ignore[no-any-return]


@pytest.fixture
def http(app: fastapi.FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evil.example")


def signed(body: bytes, *, age: float = 0) -> dict[str, str]:
    """The header with which the engine signed the body `age` seconds ago."""
    signature = sign_request(body, KEY, round(time.time() - age))
    assert isinstance(signature, str)
    return {"x-inngest-signature": signature}


def forged() -> dict[str, str]:
    """A header that looks like a signature of just now."""
    return {"x-inngest-signature": f"t={round(time.time())}&s={'0' * 64}"}


@pytest.mark.parametrize("forge", [False, True])
@pytest.mark.parametrize("kind", [{}, {"x-inngest-sync-kind": "in_band"}])
@pytest.mark.parametrize("more", [{}, {"x-forwarded-host": "evil.example"}, {"x-inngest-server-kind": "cloud"}])
async def test_a_strangers_registration_registers_nothing(
    http: httpx.AsyncClient, registry: Registry, forge: bool, kind: dict[str, str], more: dict[str, str]
) -> None:
    answer = await http.put("/api/inngest", content=SYNC, headers=kind | more | (forged() if forge else {}))
    assert answer.status_code == 401
    assert registry.urls == []


async def test_the_engines_registration_registers_the_configured_address_whatever_host_it_names(
    http: httpx.AsyncClient, registry: Registry
) -> None:
    answer = await http.put("/api/inngest", content=SYNC, headers=signed(SYNC))
    assert answer.status_code == 200, answer.text
    assert set(registry.urls) == {f"{ORIGIN}/api/inngest"}
    in_band = await http.put("/api/inngest", content=SYNC, headers=signed(SYNC) | {"x-inngest-sync-kind": "in_band"})
    assert in_band.json()["url"] == f"{ORIGIN}/api/inngest"
    assert "evil" not in in_band.text


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"t=1&s=\xff\xfe",
        b"t=\xd9\xa3&s=" + b"0" * 64,
        b"t=NOW&s=" + b"\xc3\xa9" * 64,
        b"s=" + b"0" * 64,
        b"t=" + b"9" * 5000 + b"&s=" + b"0" * 64,
    ],
)
async def test_what_is_no_signature_is_refused(http: httpx.AsyncClient, signature: bytes) -> None:
    signature = signature.replace(b"NOW", str(round(time.time())).encode())
    for method in ("POST", "PUT"):
        headers = [(b"x-inngest-signature", signature), (b"host", b"app")]
        answer = await http.request(method, "/api/inngest", content=b"{}", headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize(("age", "taken"), [(0, True), (200, True), (-200, True), (400, False), (-400, False)])
async def test_a_signed_call_is_taken_for_five_minutes(http: httpx.AsyncClient, age: float, taken: bool) -> None:
    """The function it names does not exist, and the SDK says so only to whoever signed."""
    body = json.dumps({"ctx": {"run_id": "r", "attempt": 0, "stack": {"stack": []}}, "event": {}, "events": []})
    call = {"content": body, "params": {"fnId": "customer-support-none", "stepId": "step"}}
    answer = await http.post("/api/inngest", **call, headers=signed(body.encode(), age=age))  # type: ignore[arg-type]
    assert (answer.status_code != 401) == taken, answer.text


# Each is below the limit of bytes, and cost the SDK seconds before it looked at the signature.
COSTLY = {
    "numbers": b"[" + b"0.5e-300," * 800_000 + b"1]",
    "sorting": b"{" + b",".join(b'"%07d":1' % number for number in range(600_000, 0, -1)) + b"}",
}


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY)
async def test_a_large_body_of_a_strangers_costs_no_work(http: httpx.AsyncClient, body: bytes) -> None:
    started = time.process_time()
    for method in ("POST", "PUT"):
        assert (await http.request(method, "/api/inngest", content=body)).status_code == 401
        assert (await http.request(method, "/api/inngest", content=body, headers=forged())).status_code == 401
    assert (await http.request("GET", "/api/inngest", content=body)).status_code == 401
    too_large = body + b" " * limits.ENGINE_MAX_BYTES
    assert (await http.post("/api/inngest", content=too_large, headers=forged())).status_code == 413
    assert time.process_time() - started < 0.5


async def test_a_large_call_of_the_engines_is_read(
    http: httpx.AsyncClient, app: fastapi.FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine sends sorted JSON and signs what it sends. Both keys count while one replaces the other."""
    email = {"name": "customer/email.received", "data": {"email_text": "\N{EURO SIGN} <b>&amp;</b> " * 20_000}}
    ctx = {"attempt": 0, "run_id": "r", "stack": {"stack": []}}
    body = json.dumps({"ctx": ctx, "event": email}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    answer = await http.post("/api/inngest?fnId=none&stepId=step", content=body, headers=signed(body))
    assert answer.status_code != 401, answer.text
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-prod-" + "cd" * 32)
    answer = await http.post("/api/inngest?fnId=none&stepId=step", content=body, headers=signed(body))
    assert answer.status_code == 401
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", KEY)
    answer = await http.post("/api/inngest?fnId=none&stepId=step", content=body, headers=signed(body))
    assert answer.status_code != 401, answer.text


# Every route


@pytest.fixture(params=["httptools", "h11"])
async def port(
    request: pytest.FixtureRequest, app: fastapi.FastAPI, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[int]:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)
    server: Http = request.param
    async with listening(app, http=server) as url:
        yield int(url.rpartition(":")[2])


@pytest.mark.parametrize(
    "path", ["/approvals", "/approvals/sign-in", "/approvals/1/decision", "/healthz", "/readyz", "/nowhere"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_that_does_not_come_is_hung_up_on_at_every_route(port: int, path: str, method: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\nx=".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_half_a_body_is_read_by_nobody() -> None:
    """Half of `amount=4900` is another amount."""
    called: list[object] = []

    async def app(scope: Any, *_: object) -> None:
        called.append(scope)

    async with listening(limits.Limits(app, signed=False)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /approvals/1/decision HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\namount=49")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.wait_for(reader.read(), 5)
        await asyncio.sleep(0.2)
    assert called == []


async def test_the_description_of_a_body_that_is_too_large_is_enough(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /approvals/sign-in HTTP/1.1\r\nHost: app\r\nContent-Length: 100000000\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 413 ")
    writer.close()


def test_a_real_key_beside_a_dev_server_ends_the_start(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_DEV", "1")
    for key, refused in ((KEY, True), ("ab" * 32, True), ("signkey-test-12345678", False), ("local", False)):
        monkeypatch.setenv("INNGEST_SIGNING_KEY", key)
        if refused:
            with pytest.raises(SystemExit, match="INNGEST_DEV is set beside a real INNGEST_SIGNING_KEY"):
                runpy.run_path(str(ROOT / "inngest_app.py"))
        else:
            assert runpy.run_path(str(ROOT / "inngest_app.py"))["DEV"]


@pytest.mark.parametrize(
    "origin", ["", "support.example.com", "ftp://x", "https://", "https://x/path", "https://x?y=z", "https://u:p@x"]
)
def test_production_needs_to_know_where_it_is_reached(app: Any, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", origin)
    with pytest.raises(SystemExit, match="INNGEST_SERVE_ORIGIN must say where the engine reaches this app"):
        runpy.run_path(str(ROOT / "inngest_app.py"))
