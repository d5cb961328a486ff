"""Requests that are too large, too slow or cut short, at a real server: refused early, without an event or a traceback.

Runs without any account; the server is uvicorn in this process.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.providers import AUTH, POSTMARK, REFUND, SETTINGS, Webhooks, basic, stripe_event
from tests.serving import listening
from web.webhooks import routes

PATHS = {"stripe": "/webhooks/stripe", "email": "/webhooks/email"}


@pytest.fixture(params=["httptools", "h11"])
async def served(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Webhooks, int]]:
    """The webhooks, in as much of a hurry as a test is, behind each of uvicorn's two ways to read HTTP."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name in ("EMAIL", "STRIPE"):
        monkeypatch.setattr(routes, name, replace(getattr(routes, name), seconds=0.3))
    webhooks = Webhooks()
    async with listening(webhooks.app, http=request.param) as url:
        yield webhooks, urlsplit(url).port or 0


async def exchange(port: int, path: str, headers: dict[str, Any], *chunks: bytes, then_wait: bool = True) -> bytes:
    """Send a request's head and these pieces of its body, and read what comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = {"host": "app", "content-type": "application/json", "authorization": basic(AUTH)} | headers
    writer.write(f"POST {path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in head.items()))
    writer.write(b"\r\n")
    answer = b""
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        if then_wait:
            answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        # It hung up while we were still sending; what it said before that may be lost, as with any client.
        pass
    finally:
        writer.close()
    return answer


@pytest.mark.parametrize("webhook", PATHS)
async def test_a_declared_size_above_the_bound_is_refused_before_a_byte_of_it(
    served: tuple[Webhooks, int], webhook: str
) -> None:
    webhooks, port = served
    bound = getattr(routes, webhook.upper()).max_bytes
    for size in (bound + 1, 10**18):
        answer = await exchange(port, PATHS[webhook], {"content-length": size})
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()
    assert webhooks.sent == []


async def test_a_body_of_undeclared_size_is_refused_when_it_passes_the_bound(
    served: tuple[Webhooks, int], caplog: pytest.LogCaptureFixture
) -> None:
    webhooks, port = served
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    # The last byte is the first beyond the bound. If more came, it could stay unread, and the answer be lost with it.
    last = 1_000_001 - 15 * 65_536
    pieces = [piece] * 15 + [f"{last:x}\r\n".encode() + b"x" * last]
    answer = await exchange(port, PATHS["stripe"], {"transfer-encoding": "chunked"}, *pieces)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert [record.message for record in caplog.records if record.name == "customer-support"] == [
        "Refused at the stripe webhook with 413: the body has more than 1000000 bytes"
    ]
    assert webhooks.sent == []


@pytest.mark.parametrize("webhook", PATHS)
@pytest.mark.parametrize("pieces", [[], [b"{"], [b"{", b'"a"', b": "]], ids=["silent", "begins", "drips"])
async def test_a_sender_that_takes_too_long_is_refused_and_hung_up_on(
    served: tuple[Webhooks, int], webhook: str, pieces: list[bytes]
) -> None:
    webhooks, port = served
    answer = await exchange(port, PATHS[webhook], {"content-length": 1000}, *pieces)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert webhooks.sent == []


@pytest.mark.parametrize("webhook", PATHS)
async def test_a_sender_that_hangs_up_leaves_no_event_and_no_traceback(
    served: tuple[Webhooks, int], webhook: str, caplog: pytest.LogCaptureFixture
) -> None:
    webhooks, port = served
    with caplog.at_level(logging.INFO):
        await exchange(port, PATHS[webhook], {"content-length": 1000}, b'{"a": ', then_wait=False)
        for _ in range(200):
            if "hung up" in caplog.text:
                break
            await asyncio.sleep(0.01)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"Refused at the {webhook} webhook with 400: the caller hung up before the body was complete"
    ]
    assert webhooks.sent == []


async def test_a_wrong_password_is_refused_before_the_body_is_read(served: tuple[Webhooks, int]) -> None:
    webhooks, port = served
    headers = {"authorization": "Basic eDp5", "content-length": 1000, "connection": "close"}
    assert (await exchange(port, PATHS["email"], headers)).startswith(b"HTTP/1.1 401 ")
    assert webhooks.sent == []


async def test_a_body_just_within_the_bound_passes(monkeypatch: pytest.MonkeyPatch, database: None) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    webhooks = Webhooks()
    for post, message, bound in (
        (webhooks.stripe, stripe_event("refund.failed", REFUND), routes.STRIPE.max_bytes),
        (webhooks.email, POSTMARK, routes.EMAIL.max_bytes),
    ):
        whole = padded(message, bound)
        assert len(whole) == bound
        assert (await post(whole)).status_code == 200
        assert (await post(whole + b" ")).status_code == 413
    assert len(webhooks.sent) == 2


def padded(message: dict[str, Any], size: int) -> bytes:
    body = json.dumps(message).encode()
    return body + b" " * (size - len(body))


async def test_a_length_that_is_no_number_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    webhooks = Webhooks()
    for length in ("x", "9" * 5000, "1 2", "\u0663x"):
        answer = await webhooks.post("/webhooks/stripe", b"{}", {"content-length": length})
        assert answer.status_code in {400, 413}, length
    assert webhooks.sent == []
