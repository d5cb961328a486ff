"""What reviewers are told, against a real chat service in this process: one that answers, fails, or is hostile."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

import settings
from offline.processes import free_port
from outbound import chat

SECRET = "T000-B000-s3cret"
ROW = {"id": 7, "order_id": "A-1001", "amount_cents": 123456, "expires_at": datetime(2026, 11, 21, 14, 5, tzinfo=UTC)}
Chat: TypeAlias = Callable[..., Any]


class Received(list[bytes]):
    """The requests' bodies, and the first lines in `heads`."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[str] = []

    def json(self) -> Any:
        [body] = self
        return json.loads(body)


@asynccontextmanager
async def chat_service(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[Received]:
    """A chat service that answers every request with these bytes, or as it likes."""
    received = Received()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line.split()[1] for line in head.splitlines() if line.lower().startswith("content-length:"))
        received.heads.append(head.splitlines()[0])
        received.append(await reader.readexactly(int(length)))
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/services/{SECRET}"
    monkeypatch.setenv("REVIEWER_WEBHOOK_URL", url)
    try:
        yield received
    finally:
        server.close()


def answered(status: str, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


OK = answered("200 OK", body="ok")


async def tell(customer: str = "cust_002 (pro)", **changes: Any) -> bool:
    return await chat.about_refunds(customer, [ROW | changes])


async def test_the_message_says_who_what_how_much_and_until_when_and_links_to_the_desk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DESK_URL", "https://desk.example/")
    async with chat_service(monkeypatch, OK) as received:
        assert await tell() is True
    said = (
        "A refund of $1,234.56 for order A-1001 of cust_002 (pro) waits for your decision until 2026-11-21 14:05 UTC."
    )
    assert received.json() == {
        "text": f"{said} https://desk.example/approvals/7",
        "blocks": [
            {"type": "section", "text": {"type": "plain_text", "text": said, "emoji": False}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "<https://desk.example/approvals/7|Open the desk>",
                    "verbatim": True,
                },
            },
        ],
    }
    assert received.heads == [f"POST /services/{SECRET} HTTP/1.1"]


async def test_several_refunds_are_one_message_and_very_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat_service(monkeypatch, OK) as received:
        await chat.about_refunds("cust_002", [ROW | {"id": n} for n in range(100)])
    message = received.json()
    assert "80 more wait. http://127.0.0.1:8000/approvals" in message["text"]
    assert len(message["blocks"]) <= 50  # Slack takes no more


@pytest.mark.parametrize("evil", ["<!channel>", "<@U123>", "<https://evil.example|Open the desk>", "a&lt;!here>"])
async def test_nothing_in_a_message_mentions_anybody_or_links_elsewhere(
    monkeypatch: pytest.MonkeyPatch, evil: str
) -> None:
    async with chat_service(monkeypatch, OK) as received:
        await tell(customer=evil, order_id=evil)
    message = received.json()
    marked_up = [message["text"], *(b["text"]["text"] for b in message["blocks"] if b["text"]["type"] == "mrkdwn")]
    links = [part.partition(">")[0] for text in marked_up for part in text.split("<")[1:]]
    assert links == ["http://127.0.0.1:8000/approvals/7|Open the desk"]
    assert "&lt;!here&gt;" not in message["text"].replace("&amp;", "")


async def test_an_endless_text_stays_within_what_slack_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat_service(monkeypatch, OK) as received:
        await tell(customer="c" * 100_000)
    assert max(len(block["text"]["text"]) for block in received.json()["blocks"]) <= 3000


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (answered("500 Oops", body="x"), None),
        (answered("503 Busy", "retry-after: 30"), 30),
        (answered("429 Slower", "retry-after: 7"), 7),
        (answered("429 Slower", "retry-after: Sat, 21 Nov 2026 01:00:00 GMT"), None),
        (answered("429 Slower", "retry-after: -1"), None),
        (answered("429 Slower", "retry-after: " + "9" * 5000), None),
        (answered("408 Timeout"), None),
        (b"", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n", None),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000, None),
        (b"HTTP/1.1 99999 \xff\r\n\r\n", None),
    ],
    ids=lambda value: value[:20].decode(errors="replace") if isinstance(value, bytes) else None,
)
async def test_what_may_pass_is_raised_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, seconds: int | None
) -> None:
    async with chat_service(monkeypatch, answer):
        with pytest.raises(chat.UnavailableError) as raised:
            await tell()
    assert raised.value.seconds == seconds
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


async def test_nobody_there_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWER_WEBHOOK_URL", f"http://127.0.0.1:{free_port()}/{SECRET}")
    with pytest.raises(chat.UnavailableError, match="ConnectError"):
        await tell()


async def test_a_service_that_never_answers_or_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drips(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(100):
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.05)

    monkeypatch.setattr(chat, "TIMEOUT_SECONDS", 0.3)
    async with chat_service(monkeypatch, drips):
        with pytest.raises(chat.UnavailableError, match="TimeoutError"):
            await tell()


@pytest.mark.parametrize(
    "answer",
    [
        answered("404 Not Found", body="no_service"),
        answered("403 Forbidden", body="invalid_token"),
        answered("400 Bad Request", body="invalid_blocks"),
        answered("302 Found", "location: http://127.0.0.1:1/elsewhere"),
        answered("308 Permanent Redirect", "location: http://127.0.0.1:1/elsewhere"),
    ],
    ids=lambda answer: answer[9:12].decode(),
)
async def test_a_refusal_is_logged_and_final(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    caplog.set_level(logging.DEBUG, "customer-support")
    caplog.set_level(logging.INFO, "")
    async with chat_service(monkeypatch, answer) as received:
        assert await tell() is False
    assert len(received) == 1
    assert answer[9:12].decode() in caplog.text
    assert SECRET not in caplog.text


async def test_an_endless_body_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while written < 200_000_000:
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()
            written += 0x100000

    async with chat_service(monkeypatch, endless):
        assert await tell() is True
    assert written < 50_000_000


async def test_the_log_never_has_the_url(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the level of the whole program is: httpx logs every URL at INFO."""
    caplog.set_level(logging.INFO, "")
    async with chat_service(monkeypatch, OK):
        await tell()
    assert SECRET not in caplog.text


async def test_with_nowhere_to_post_it_is_logged_with_the_link(caplog: pytest.LogCaptureFixture) -> None:
    assert await tell() is False
    assert "$1,234.56 for order A-1001" in caplog.text
    assert "http://127.0.0.1:8000/approvals/7" in caplog.text


@pytest.mark.parametrize("name", ["REVIEWER_WEBHOOK_URL", "DESK_URL"])
@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("", True),
        ("https://hooks.slack.com/services/T/B/x", True),
        ("http://127.0.0.1:8000", True),
        ("hooks.slack.com/s3cret", False),
        ("ftp://s3cret.example", False),
        ("https://", False),
        ("https://s3cret:port", False),
        ("https://s3cret/<!channel>", False),
        ("https://s3cret/ x", False),
        ("https://s3cret/\n", False),
    ],
)
def test_a_url_that_is_none_is_named_and_not_shown(
    name: str, url: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    if usable:
        settings.check()
    else:
        with pytest.raises(SystemExit, match=f"^{name} is not a URL: expected https://host/path$"):
            settings.check()
