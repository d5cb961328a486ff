"""Sends replies by SMTP, when `SMTP_URL` and `MAIL_FROM` say how and as whom.

Every try of one reply carries the same Message-ID, by which a mail server or a reader's program sees that it is one.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib

import db

# For each answer of the server's: one that looks for spam before it says yes takes its time.
TIMEOUT_SECONDS = 60
SUBJECT_MAX_CHARS = 200
MOST_REFERENCES = 20
PERMANENT = 500
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,200}>")


class UnsentError(RuntimeError):
    """The mail server did not take the reply. `final`: it never will. The message names no address and no text."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(f"Sending the reply failed: {why}.")
        self.final = final


def check_settings() -> None:
    """Raise ValueError, without the URL, if mail could not be sent as the settings ask; nothing set is fine."""
    url, sender = os.environ.get("SMTP_URL"), os.environ.get("MAIL_FROM")
    if bool(url) != bool(sender):
        raise ValueError(f"{'MAIL_FROM' if url else 'SMTP_URL'} is not set: to send replies, set both, else neither")
    if url:
        _server(url)
    if sender and (not sender.isprintable() or not ADDRESS.fullmatch(parseaddr(sender)[1])):
        raise ValueError("MAIL_FROM is not an address: expected support@example.com or Support <support@example.com>")


def _server(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("SMTP_URL is not a mail server: expected smtp://user:password@host:587, or smtps:// for TLS")
    return parts


async def send_once(
    run_id: str, step_id: str, customer_id: str, text: str, *, mail_key: str, received: Mapping[str, Any], **detail: Any
) -> None:
    """Send a text to the customer's own address and write `message_sent`, unless that row is there already.

    `mail_key` and `received` are those of `reply`. Raises UnsentError.
    """
    if await db.fetch("select from audit_log where key = $1", db.clean(f"{run_id}:{step_id}")):
        return
    customer = await db.get_customer(customer_id) or {"email": ""}
    delivery = await reply(mail_key, customer["email"], db.clean(text), received)
    # Only a crash just here sends it again, with the same Message-ID.
    await db.record("message_sent", run_id, step_id, customer_id, reply=text, **detail, **delivery)


async def reply(key: str, to: str, text: str, received: Mapping[str, Any]) -> dict[str, str]:
    """Send `text` to an address as the answer to an email (subject, message_id, references); how it was delivered.

    `key` names the reply for ever: it becomes the Message-ID. Without configuration nothing is sent: a draft.
    Raises UnsentError.
    """
    url, sender = os.environ.get("SMTP_URL"), os.environ.get("MAIL_FROM", "")
    if not url:
        return {"delivery": "draft"}
    address = parseaddr(sender)[1]
    mail_id = f"<{re.sub(r'[^A-Za-z0-9._-]', '-', key)}@{address.rpartition('@')[2]}>"
    server = _server(url)
    if not ADDRESS.fullmatch(to):
        raise UnsentError("the customer's address is none", final=True)
    try:
        await aiosmtplib.send(
            _message(sender, to, text, mail_id, received), sender=address, recipients=[to],
            hostname=server.hostname, port=server.port, timeout=TIMEOUT_SECONDS,
            username=unquote(server.username or "") or None, password=unquote(server.password or "") or None,
            use_tls=server.scheme == "smtps",
            start_tls=server.scheme == "smtp" and not _is_loopback(server.hostname or ""),
        )  # fmt: skip
    except aiosmtplib.SMTPRecipientsRefused as refused:
        code = refused.recipients[0].code
        raise UnsentError(f"the mail server refused the recipient with {code}", final=code >= PERMANENT) from None
    except aiosmtplib.SMTPDataError as refused:
        raise UnsentError(
            f"the mail server refused the message with {refused.code}", final=refused.code >= PERMANENT
        ) from None
    except aiosmtplib.SMTPResponseException as refused:
        # Also a password that is refused: somebody may correct it before the engine gives up.
        raise UnsentError(f"the mail server answered with {refused.code} ({type(refused).__name__})") from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise UnsentError(type(error).__name__) from None
    return {"delivery": "smtp", "mail_id": mail_id}


def _message(sender: str, to: str, text: str, mail_id: str, received: Mapping[str, Any]) -> bytes:
    message = EmailMessage(SMTP.clone(cte_type="7bit"))
    message["From"], message["To"], message["Message-ID"] = sender, to, mail_id
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Auto-Submitted"] = "auto-replied"  # RFC 3834: nobody's out-of-office note answers it
    message["Subject"] = subject(received.get("subject"))
    message.set_content(text)
    answered = message_ids(received.get("message_id"))[:1]
    thread = message_ids(received.get("references"))
    thread = [*thread[:1], *thread[1:][-MOST_REFERENCES:], *answered]
    # By hand: the library encodes ids longer than a line, and no reader's program finds its thread by those.
    ids = {"In-Reply-To": answered, "References": thread}
    headers = [f"{name}: " + "\r\n ".join(found) + "\r\n" for name, found in ids.items() if found]
    return "".join(headers).encode() + message.as_bytes()


def subject(original: object) -> str:
    """`Re:` and the original subject, on one line; nothing in it is markup of a header."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(original or "")).split())
    # The library would decode =?utf-8?q?=0D=0ABcc:...?= and write the line break it stands for.
    words = words.replace("=?", "= ?")[:SUBJECT_MAX_CHARS].strip()
    if not words:
        return "Re: your message"
    return words if words.lower().startswith("re:") else f"Re: {words}"


def message_ids(given: object) -> list[str]:
    """The ids in a header's text or in a list of them; whatever else stands there is left out."""
    texts = [text for text in (given if isinstance(given, list) else [given]) if isinstance(text, str)]
    # One alone may have lost its brackets on the way.
    words = [f"<{text.strip()}>" if "<" not in text else word for text in texts for word in text.split()]
    return [word for word in words if MESSAGE_ID.fullmatch(word)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
