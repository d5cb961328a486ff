"""Replies by mail, against a real SMTP server in this process. Runs without any account."""

import asyncio
import socket
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import settings
from offline.processes import free_port
from outbound import mail
from tests.mail_server import CERTIFICATE, MailServer, mail_server

GRACE = "grace@example.com"
HEADER = "<a@b>\r\nBcc: eve@x.y"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """A server on this machine, and the settings to use it."""
    async with mail_server() as running:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{running.port}")
        monkeypatch.setenv("MAIL_FROM", "Support <support@shop.example>")
        yield running


async def sent(server: MailServer, text: str = "Hello", key: str = "run-1", **received: Any) -> EmailMessage:
    """The message that arrives when this is sent as a reply."""
    await mail.reply(key, GRACE, text, received)
    return server.accepted[-1]


def body(message: EmailMessage) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


async def failed(to: str = GRACE) -> mail.UnsentError:
    with pytest.raises(mail.UnsentError) as raised:
        await mail.reply("run-1", to, "Hello", {})
    # What the library said may name the address; a traceback must not repeat it.
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert GRACE not in str(raised.value)
    return raised.value


async def test_without_settings_a_reply_is_a_draft() -> None:
    assert await mail.reply("run-1", GRACE, "Hello", {}) == {"delivery": "draft"}


async def test_a_reply_reaches_the_customer_and_nobody_else(server: MailServer) -> None:
    delivery = await mail.reply("run-1", GRACE, "Dear Grace,\n\nyes.\n", {"subject": "Shipping?", "from": "eve@x.y"})
    [envelope], [message] = server.envelopes, server.accepted
    assert (envelope.mail_from, envelope.rcpt_tos) == ("support@shop.example", [GRACE])
    assert (message["From"], message["To"]) == ("Support <support@shop.example>", GRACE)
    assert (message["Cc"], message["Bcc"], message["Reply-To"]) == (None, None, None)
    assert message["Subject"] == "Re: Shipping?"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Date"].datetime.tzinfo is not None
    assert body(message) == "Dear Grace,\n\nyes.\n"
    assert delivery == {"delivery": "smtp", "mail_id": "<run-1@shop.example>"}


@pytest.mark.parametrize(
    ("key", "mail_id"),
    [
        ("01KAKZ6C3Q5M9J", "<01KAKZ6C3Q5M9J@shop.example>"),
        ("a b>\r\nBcc: eve@x.y", "<a-b---Bcc--eve-x.y@shop.example>"),
        ("x" * 200, f"<{'x' * 200}@shop.example>"),
    ],
)
async def test_every_try_has_the_message_id_of_its_run(server: MailServer, key: str, mail_id: str) -> None:
    for _ in range(2):
        assert (await sent(server, key=key))["Message-ID"] == mail_id
    assert f"Message-ID: {mail_id}\r\n".encode() in server.raw[0]


async def test_the_reply_joins_the_thread(server: MailServer) -> None:
    message = await sent(server, message_id="<c@mail>", references="<a@mail> <b@mail>")
    assert message["In-Reply-To"] == "<c@mail>"
    assert message["References"].split() == ["<a@mail>", "<b@mail>", "<c@mail>"]


async def test_ids_longer_than_a_line_stay_as_they_are(server: MailServer) -> None:
    """Python's own library writes them as encoded words, which no mail program takes for an id."""
    ids = [f"<{letter * 120}@prod.outlook.example>" for letter in "abc"]
    message = await sent(server, message_id=ids[2], references=ids[:2])
    assert message["References"].split() == ids
    assert message["In-Reply-To"].strip() == ids[2]
    assert b"=?" not in server.raw[0]


async def test_of_a_long_thread_the_first_and_the_last_ids_are_kept(server: MailServer) -> None:
    message = await sent(server, message_id="<last@mail>", references=[f"<{n}@mail>" for n in range(100)])
    ids = message["References"].split()
    assert (ids[0], ids[-2:]) == ("<0@mail>", ["<99@mail>", "<last@mail>"])
    assert len(ids) == mail.MOST_REFERENCES


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        7,
        {},
        [],
        [7, None],
        "b0a1-uuid-of-the-provider",
        "<@>",
        "<a@>",
        "<@b>",
        "<a b@c>",
        "a@b\0",
        HEADER,
        "<ä@b>",
        f"<{'a' * 201}@b>",
        "<a@b@c>",
        "<a@b",
        "a@b>",
        ["a@b", {"<a@b>": 1}],
    ],
)
async def test_what_is_no_message_id_is_left_out(server: MailServer, given: Any) -> None:
    expected = ["<a@b>"] if given == HEADER else []
    assert mail.message_ids(given) == expected
    message = await sent(server, message_id=given, references=given)
    assert message["Bcc"] is None
    assert (message["References"] or "").split() == expected * 2


@pytest.mark.parametrize("given", ["<a@b><c@d>", "<a@b>\r\n\t<c@d>", "re: <a@b>, <<c@d>>", ["<a@b>", "<c@d>"]])
async def test_ids_are_found_however_they_stand_beside_each_other(server: MailServer, given: Any) -> None:
    assert mail.message_ids(given) == ["<a@b>", "<c@d>"]
    message = await sent(server, message_id=given, references=given)
    assert (message["In-Reply-To"], message["References"].split()) == ("<a@b>", ["<a@b>", "<c@d>", "<a@b>"])


@pytest.mark.parametrize("given", ["a@b", " a@b\n"])
async def test_an_id_that_lost_its_brackets_gets_them_back(server: MailServer, given: str) -> None:
    message = await sent(server, message_id=given)
    assert (message["In-Reply-To"], message["References"]) == ("<a@b>", "<a@b>")


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ("Shipping", "Re: Shipping"),
        ("Re: Shipping", "Re: Shipping"),
        ("RE: Shipping", "RE: Shipping"),
        (None, "Re: your message"),
        ("", "Re: your message"),
        (" \r\n\t", "Re: your message"),
        (7, "Re: 7"),
        ("a\r\nBcc: eve@x.y", "Re: a Bcc: eve@x.y"),
        ("a\u2028b\x0bc\x00d", "Re: a b c d"),
        ("=?utf-8?q?a=0D=0ABcc:_eve@x.y?=", "Re: = ?utf-8?q?a=0D=0ABcc:_eve@x.y?="),
        ("=?utf-8?b?YQ0KQmNjOiBldmVAeC55?=", "Re: = ?utf-8?b?YQ0KQmNjOiBldmVAeC55?="),
        ("==??utf-8?q?a?=", "Re: == ??utf-8?q?a?="),
        ("Größe 😀?", "Re: Größe 😀?"),
        ("\ud83d", "Re: your message"),
        ("ä" * 500, "Re: " + "ä" * 200),
        ("\u202egpj.exe", "Re: gpj.exe"),
    ],
)
async def test_a_subject_is_one_line_and_no_header(server: MailServer, given: Any, subject: str) -> None:
    message = await sent(server, subject=given)
    assert message["Subject"] == subject
    assert (message["Bcc"], len(message.get_all("Subject", []))) == (None, 1)
    assert set(message.keys()) <= {
        "From",
        "To",
        "Message-ID",
        "Date",
        "Auto-Submitted",
        "Subject",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }
    assert all(len(line) <= 998 for line in server.raw[-1].splitlines())


@pytest.mark.parametrize("text", ["Grüße 😀\n", ".\n..\n.a\n", "x" * 5000 + "\n", "From me\n", "a\n\n\n"])
async def test_a_text_arrives_as_it_was_written(server: MailServer, text: str) -> None:
    assert body(await sent(server, text)) == text


@pytest.mark.parametrize(
    ("recipient", "data", "final"),
    [
        ("550 5.1.1 <grace@example.com>: no such user", "250 OK", True),
        ("552 full", "250 OK", True),
        ("451 4.7.1 greylisted, come back later", "250 OK", False),
        ("421 closing", "250 OK", False),
        ("250 OK", "554 5.7.1 spam", True),
        ("250 OK", "452 4.3.1 insufficient storage", False),
    ],
)
async def test_a_5xx_is_for_good_and_a_4xx_is_not(server: MailServer, recipient: str, data: str, final: bool) -> None:
    server.recipient, server.data = recipient, data
    error = await failed()
    assert error.final is final
    assert (recipient if data == "250 OK" else data)[:3] in str(error)
    assert server.accepted == []


async def test_a_server_that_dies_before_its_answer_may_have_the_message(server: MailServer) -> None:
    server.dies = "before the answer"
    assert not (await failed()).final
    server.dies = None
    await mail.reply("run-1", GRACE, "Hello", {})
    assert [message["Message-ID"] for message in server.accepted] == ["<run-1@shop.example>"] * 2


async def test_a_server_that_dies_after_its_answer_has_the_message(server: MailServer) -> None:
    server.dies = "after the answer"
    assert (await mail.reply("run-1", GRACE, "Hello", {}))["delivery"] == "smtp"
    assert len(server.accepted) == 1


async def test_nobody_there_is_not_for_good(monkeypatch: pytest.MonkeyPatch, server: MailServer) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{free_port()}")
    assert not (await failed()).final


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, server: MailServer) -> None:
    monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        assert not (await failed()).final


@pytest.mark.parametrize("first", [b"500 go away\r\n", b"\r\n", b"\xff\xfe\r\n", b"2" * 100_000 + b"\r\n"])
async def test_a_server_that_talks_nonsense_is_not_for_good(
    monkeypatch: pytest.MonkeyPatch, server: MailServer, first: bytes
) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        writer.close()

    nonsense = await asyncio.start_server(answer, "127.0.0.1", 0)
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{nonsense.sockets[0].getsockname()[1]}")
    assert not (await failed()).final
    nonsense.close()


@pytest.mark.parametrize(
    "to", ["", "grace", "a b@c.d", "a@b\r\nRCPT TO:<eve@x.y>", "grüße@example.com", "<a@b>", "a@-"]
)
async def test_an_address_that_is_none_is_for_good_and_asks_no_server(server: MailServer, to: str) -> None:
    assert (await failed(to)).final
    assert server.tries == 0


# TLS and login


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make this machine trust the test server's certificate."""
    (tmp_path / "trusted.pem").write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("MAIL_FROM", "support@shop.example")


async def test_beyond_this_machine_a_server_without_starttls_is_sent_nothing(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://eve:secret@0.0.0.0:{server.port}")
    assert not (await failed()).final
    assert (server.tries, server.login) == (0, None)


async def test_starttls_with_a_login(trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mail_server(tls="starttls", auth=True) as server:
        monkeypatch.setenv("SMTP_URL", f"smtp://support%40shop:p%2Fw%20d@0.0.0.0:{server.port}")
        await mail.reply("run-1", GRACE, "Hello", {})
        assert len(server.accepted) == 1
        monkeypatch.setenv("SMTP_URL", f"smtp://support%40shop:wrong@0.0.0.0:{server.port}")
        error = await failed()
    assert not error.final
    assert "wrong" not in str(error)


async def test_tls_from_the_start(trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mail_server(tls="from the start") as server:
        monkeypatch.setenv("SMTP_URL", f"smtps://localhost:{server.port}")
        await mail.reply("run-1", GRACE, "Hello", {})
        assert len(server.accepted) == 1


@pytest.mark.parametrize(("scheme", "tls"), [("smtp", "starttls"), ("smtps", "from the start")])
async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, scheme: str, tls: str
) -> None:
    monkeypatch.setenv("MAIL_FROM", "support@shop.example")
    async with mail_server(tls=tls) as server:
        monkeypatch.setenv("SMTP_URL", f"{scheme}://0.0.0.0:{server.port}")
        assert not (await failed()).final
        assert server.tries == 0


# Settings


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("smtp://host", "a@b.c"),
        ("smtps://host:465", "Support <a@b.c>"),
        ("smtp://u:p%40@[::1]:25", '"Support, Shop" <a@b.c>'),
        ("", ""),
    ],
)
def test_usable_settings_are_taken(url: str, sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", url)
    monkeypatch.setenv("MAIL_FROM", sender)
    settings.check()
    assert (settings.smtp() is None) == (url == "")


@pytest.mark.parametrize(
    ("url", "sender", "named"),
    [
        ("smtp://u:s3cret@host", "", "MAIL_FROM"),
        ("", "a@b.c", "SMTP_URL"),
        ("host:25", "a@b.c", "SMTP_URL"),
        ("http://u:s3cret@host", "a@b.c", "SMTP_URL"),
        ("smtp://", "a@b.c", "SMTP_URL"),
        ("smtp://u:s3cret@host:x", "a@b.c", "SMTP_URL"),
        ("smtp://u:s3cret@host:0", "a@b.c", "SMTP_URL"),
        ("smtp://u:s3cret@[::1", "a@b.c", "SMTP_URL"),
        ("smtp://host", "Support", "MAIL_FROM"),
        ("smtp://host", "a@b.c\r\nBcc: eve@x.y", "MAIL_FROM"),
        ("smtp://host", "grüße@b.c", "MAIL_FROM"),
    ],
)
def test_settings_that_cannot_work_are_named_without_their_secret(
    url: str, sender: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", url)
    monkeypatch.setenv("MAIL_FROM", sender)
    with pytest.raises(SystemExit, match=f"^{named} ") as raised:
        settings.check()
    assert "s3cret" not in str(raised.value)
