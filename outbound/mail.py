"""Sends replies to customers by SMTP, when `SMTP_URL` and `MAIL_FROM` are set.

Each attempt to send one reply carries the same Message-ID, so that mail servers and mail programs can tell that two
copies are the same message.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import SplitResult, unquote

import aiosmtplib

import db
import settings

# For each single answer of the mail server: one that looks for spam before it says yes takes its time.
TIMEOUT_SECONDS = 60
SUBJECT_MAX_CHARS = 200
MOST_REFERENCES = 20
# SMTP reply codes from 500 on mean "never", those below mean "not now" (RFC 5321, 4.2.1).
PERMANENT = 500
MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,200}>")


class UnsentError(RuntimeError):
    """The mail server did not take the reply, and with `final` never will. The text holds no address and no reply."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(f"Sending the reply failed: {why}.")
        self.final = final


async def send_once(
    run_id: str, step_id: str, customer_id: str, text: str, *, mail_key: str, received: Mapping[str, Any], **detail: Any
) -> None:
    """Send a text to the customer's own address and write `message_sent`, unless that row is there already.

    `mail_key` and `received` are the `key` and `received` of `reply`, `detail` goes into the row. Raises UnsentError.
    """
    address = ""
    # Without SMTP no mail goes out, so it does not matter whether this one already has.
    if settings.smtp() is not None:
        [found] = await db.fetch(
            "select exists (select from audit_log where key = $1) as sent, (select email from customers where id = $2)",
            *db.clean([f"{run_id}:{step_id}", customer_id]),
        )
        if found["sent"]:
            return
        address = found["email"] or ""
    delivery = await reply(mail_key, address, db.clean(text), received)
    # If the process dies between these two lines, the reply is sent again, with the same Message-ID.
    await db.record("message_sent", run_id, step_id, customer_id, reply=text, **detail, **delivery)


async def reply(key: str, to: str, text: str, received: Mapping[str, Any]) -> dict[str, str]:
    """Send `text` to an address as the answer to the email `received`. Returns how it was delivered, for the audit row.

    `key` is what is the same in every attempt; it becomes the Message-ID. Of `received`, the data of the email's event,
    `subject`, `message_id` and `references` are read. Without SMTP_URL nothing is sent and the reply stays a draft.
    Raises UnsentError.
    """
    smtp = settings.smtp()
    if smtp is None:
        return {"delivery": "draft"}
    server, sender = smtp
    if not settings.ADDRESS.fullmatch(to):
        raise UnsentError("the customer's address is none", final=True)
    host = parseaddr(sender)[1].rpartition("@")[2]
    mail_id = f"<{re.sub(r'[^A-Za-z0-9._-]', '-', key)}@{host}>"
    await _send(server, sender, to, _message(sender, to, text, mail_id, received))
    return {"delivery": "smtp", "mail_id": mail_id}


async def _send(server: SplitResult, sender: str, to: str, message: bytes) -> None:
    try:
        await aiosmtplib.send(
            message, sender=parseaddr(sender)[1], recipients=[to], timeout=TIMEOUT_SECONDS, **options(server)
        )
    except aiosmtplib.SMTPRecipientsRefused as refused:
        code = refused.recipients[0].code
        raise UnsentError(f"the mail server refused the recipient with {code}", final=code >= PERMANENT) from None
    except aiosmtplib.SMTPDataError as refused:
        code = refused.code
        raise UnsentError(f"the mail server refused the message with {code}", final=code >= PERMANENT) from None
    except aiosmtplib.SMTPResponseException as refused:
        # Never final. A refused password, for one, may be corrected before the engine gives up.
        raise UnsentError(f"the mail server answered with {refused.code} ({type(refused).__name__})") from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise UnsentError(type(error).__name__) from None


def options(server: SplitResult) -> dict[str, Any]:
    """How aiosmtplib reaches the mail server that SMTP_URL names: with TLS, but for one on this machine."""
    return {
        "hostname": server.hostname,
        "port": server.port,
        "username": unquote(server.username or "") or None,
        "password": unquote(server.password or "") or None,
        "use_tls": server.scheme == "smtps",
        "start_tls": server.scheme == "smtp" and not _is_loopback(server.hostname or ""),
    }


def _message(sender: str, to: str, text: str, mail_id: str, received: Mapping[str, Any]) -> bytes:
    message = EmailMessage(SMTP.clone(cte_type="7bit"))
    message["From"], message["To"], message["Message-ID"] = sender, to, mail_id
    message["Date"] = format_datetime(datetime.now(UTC))
    # Tells out-of-office responders not to answer (RFC 3834).
    message["Auto-Submitted"] = "auto-replied"
    message["Subject"] = subject(received.get("subject"))
    message.set_content(text)
    answered = _answered(received.get("message_id"))
    thread = shortened([*message_ids(received.get("references")), *answered])
    # These two headers are written by hand: the library encodes an id that is longer than a line, and mail programs do
    # not recognise an encoded id.
    threading = ""
    if answered:
        threading += f"In-Reply-To: {answered[0]}\r\n"
    if thread:
        threading += "References: " + "\r\n ".join(thread) + "\r\n"
    return threading.encode() + message.as_bytes()


def subject(original: object) -> str:
    """`Re:` and the original subject, on one line and without anything that could become another header."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(original or ""))
    # The library would decode =?utf-8?q?=0D=0ABcc:...?= and write the line break that it stands for.
    words = " ".join(printable.split()).replace("=?", "= ?")[:SUBJECT_MAX_CHARS].strip()
    if not words:
        return "Re: your message"
    return words if words.lower().startswith("re:") else f"Re: {words}"


def message_ids(given: object) -> list[str]:
    """The message ids, such as <left@right>, in a header's text or in a list of texts (RFC 5322, 3.6.4).

    Whatever else stands there is left out.
    """
    texts = given if isinstance(given, list) else [given]
    return [found for text in texts if isinstance(text, str) for found in MESSAGE_ID.findall(text)]


def shortened(thread: list[str]) -> list[str]:
    """At most 20 ids of a thread: the first, by which mail programs know the thread, and the last ones."""
    return [*thread[:1], *thread[1:][-(MOST_REFERENCES - 1) :]]


def _answered(message_id: object) -> list[str]:
    """The id of the email that is answered, or nothing. Some providers pass it on without its angle brackets."""
    bracketed = f"<{message_id.strip()}>" if isinstance(message_id, str) else ""
    return [bracketed] if MESSAGE_ID.fullmatch(bracketed) else message_ids(message_id)[:1]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
