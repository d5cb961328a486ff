"""An inbound email as its provider posts it, and the event that it becomes.

Two forms are understood: Postmark's inbound webhook (https://postmarkapp.com/developer/webhooks/inbound-webhook), and a
plain form for everything else, {"from", "text" or "html", "message_id", "subject"?, "in_reply_to"?, "headers"?}, where
the headers are an object of names and values. Attachments are left out.
"""

import hashlib
import re
from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_pascal

import db
from outbound.mail import message_ids, shortened
from web import Event
from web.webhooks import html_text
from web.webhooks.endpoint import EventId

TEXT_MAX_BYTES = 100_000
ADDRESS_MAX_CHARS = 320
SUBJECT_MAX_CHARS = 500
HEADER_MAX_CHARS = 20_000
VERDICT_MAX_CHARS = 500
MAX_HEADERS = 500
RECEIVED = "customer/email.received"
CUT = "\n(The email was longer; the rest was left out.)"
EMPTY = "(The email had no text.)"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# An address as a From header has it, with or without a name before it. It is wider than settings.ADDRESS on purpose:
# whoever is in the table of customers is found, even one whose address no reply could be sent to.
ADDRESS = re.compile(r"""(?:[^<>\r\n]*<)?([^\s@<>()[\],;:"\\]+@[^\s@<>()[\],;:"\\]+)>?""")
ROBOTS = {"mailer-daemon", "postmaster"}
ANY = re.compile("")
# Headers, in lower case, that no person's mail program sends with these values. Some are from RFC 3834
# (https://www.rfc-editor.org/rfc/rfc3834), the others are older customs.
AUTOMATIC = {
    "auto-submitted": re.compile(r"(?!\s*no\b)"),
    "x-auto-response-suppress": re.compile(r"(?s).*\b(all|oof|autoreply)\b"),
    "precedence": re.compile(r"\s*(bulk|junk|list|auto_reply)\b"),
    "list-id": ANY,
    "x-autoreply": ANY,
    "x-auto-reply": ANY,
    "x-autorespond": ANY,
    "x-autoresponder": ANY,
    "x-failed-recipients": ANY,
    "return-path": re.compile(r"\s*<\s*>"),
    "content-type": re.compile(r"\s*multipart/report\b"),
}
# How the subjects of automatic mail begin, whose headers not every provider passes on.
AUTOMATIC_SUBJECT = re.compile(
    r"\s*(?:auto(?:mat(?:ic|ed))?[ -]?(?:reply|response|responder)\b|auto:|out of (?:the )?office\b"
    r"|automatische (?:antwort|reactie)|abwesenheits(?:notiz|meldung)|r[eé]ponse automatique|absence du bureau"
    r"|respuesta autom[aá]tica|fuera de la oficina|risposta automatica|resposta autom[aá]tica|自動応答"
    r"|自动(?:答复|回复)|автоматический ответ|undeliver(?:able|ed)\b|delivery (?:status notification|failure)\b"
    r"|mail delivery (?:failed|system|failure)|returned mail\b|failure notice\b|unzustellbar\b)",
    re.IGNORECASE,
)
# Headers with which the provider's mail server says what SPF, DKIM and DMARC say of the sender. A mail server puts its
# own above those that the email brought, so the first one counts (RFC 8601, 5).
VERDICTS = ("authentication-results", "received-spf")


def _cleaned(value: Any) -> Any:
    """A text as Postgres can store it, cut to what is read at most; no email is refused for half a surrogate pair."""
    if value is None:
        return ""
    return db.clean(value[: html_text.MAX_CHARS + 1]) if isinstance(value, str) else value


def _first_headers(value: Any) -> Any:
    return value[:MAX_HEADERS] if isinstance(value, list) else value


Text = Annotated[str, BeforeValidator(_cleaned), WithJsonSchema({"type": ["string", "null"]})]


class _Posted(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_pascal), hide_input_in_errors=True)


class Mailbox(_Posted):
    """A parsed address."""

    email: Text = ""


class Header(_Posted):
    """A header of the email."""

    name: Text = ""
    value: Text = ""


class PostmarkEmail(_Posted):
    """What is read of Postmark's JSON; the rest is ignored."""

    message_id: EventId = Field(alias="MessageID")
    from_: Text = Field("", alias="From")
    from_full: Mailbox = Mailbox()
    subject: Text = ""
    text_body: Text = ""
    html_body: Text = ""
    headers: Annotated[list[Header], BeforeValidator(_first_headers)] = []


class PlainEmail(BaseModel):
    """The plain form."""

    model_config = ConfigDict(hide_input_in_errors=True)

    sender: Text = Field(alias="from")
    message_id: EventId
    subject: Text = ""
    text: Text = ""
    html: Text = ""
    in_reply_to: Text = ""
    headers: dict[str, Text] = {}


def parse(posted: dict[str, Any]) -> PostmarkEmail:
    """Either form, as if Postmark had posted it. Raises pydantic.ValidationError for anything else."""
    if "MessageID" in posted or "FromFull" in posted:
        return PostmarkEmail.model_validate(posted)
    plain = PlainEmail.model_validate(posted)
    headers = {"In-Reply-To": plain.in_reply_to, **plain.headers}
    return PostmarkEmail.model_validate(
        {
            "MessageID": plain.message_id,
            "From": plain.sender,
            "Subject": plain.subject,
            "TextBody": plain.text,
            "HtmlBody": plain.html,
            "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
        }
    )


async def to_event(email: PostmarkEmail) -> Event:
    """`customer/email.received` for an email from a customer; else `customer/email.unmatched`, for a person to look at.

    Reads the table of customers. An automatic reply counts as unmatched, because two programs that answer each other
    never stop.
    """
    headers = [(header.name.strip().lower(), header.value[:HEADER_MAX_CHARS]) for header in email.headers]
    said = one_line(email.from_full.email or email.from_, ADDRESS_MAX_CHARS)
    # Of two headers with the same name, the first one counts.
    first = dict(reversed(headers))
    verdicts = [f"{name}: {one_line(first[name], VERDICT_MAX_CHARS)}" for name in VERDICTS if first.get(name)]
    # A reply has to name these ids, so that mail programs show it in the thread (RFC 5322, 3.6.4).
    own = message_ids(first.get("message-id"))
    thread = message_ids(first.get("references")) or message_ids(first.get("in-reply-to"))
    data = {
        "email_text": body(email),
        "message_id": own[0] if own else email.message_id,
        "from": said,
        "subject": one_line(email.subject, SUBJECT_MAX_CHARS),
        "references": " ".join(shortened(thread)),
        "authentication": "; ".join(verdicts),
    }
    event = Event(
        id=event_id(said, email.message_id), name=RECEIVED, data={name: value for name, value in data.items() if value}
    )
    sender = address(email.from_full.email or email.from_)
    if is_automatic(headers, sender, data["subject"]):
        return to_a_person(event, said, "an automatic reply or a mailing list")
    if not sender:
        return to_a_person(event, said, "the sender has no usable address")
    customers = await customers_of(sender)
    if len(customers) != 1:
        many = "more than one customer has this address"
        return to_a_person(event, said, many if customers else "the sender is not a customer")
    return Event(id=event["id"], name=event["name"], data={"customer_id": customers[0], **event["data"]})


def event_id(sender: str, message_id: str) -> str:
    """The id of an email's event. Two senders' emails are two, even if they have one message id."""
    return "email-" + hashlib.sha256(f"{sender}\n{message_id}".encode()).hexdigest()[:32]


def to_a_person(event: Event, sender: str, reason: str) -> Event:
    """The event that brings the email to a person instead of the worker."""
    data = {"from": sender, "subject": "", **event["data"], "reason": reason}
    names = ("from", "subject", "email_text", "reason", "authentication")
    kept = {name: data[name] for name in names if name in data}
    return Event(id=event["id"], name="customer/email.unmatched", data=kept)


async def customers_of(sender: str) -> list[str]:
    """The ids of the customers with this address, in whatever case of A to Z it is written.

    The database folds more than that: for it, an address with a Turkish dotted capital I is the one with an i.
    """
    rows = await db.fetch("select id, email from customers where lower(email) = lower($1) limit 10", sender)
    return [row["id"] for row in rows if row["email"].encode().lower() == sender.encode().lower()]


def address(said: str) -> str:
    """The one address in a From header; empty when there is none, or more than one."""
    found = ADDRESS.fullmatch(said) if len(said) <= ADDRESS_MAX_CHARS else None
    return found[1] if found else ""


def is_automatic(headers: list[tuple[str, str]], sender: str, subject: str) -> bool:
    """Whether a program wrote this: an out-of-office notice, a bounce, a newsletter."""
    if sender.partition("@")[0].lower() in ROBOTS or AUTOMATIC_SUBJECT.match(subject):
        return True
    return any(name in AUTOMATIC and AUTOMATIC[name].match(value.lower()) for name, value in headers)


def body(email: PostmarkEmail) -> str:
    """The email's text, or what its HTML shows: at most 100,000 bytes of UTF-8; a last line says if it was cut."""
    text, whole = email.text_body, True
    if not text.strip():
        text, whole = html_text.text_of(email.html_body)
    text = CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip() or EMPTY
    encoded = text.encode()
    if whole and len(encoded) <= TEXT_MAX_BYTES:
        return text
    return encoded[: TEXT_MAX_BYTES - len(CUT)].decode(errors="ignore") + CUT


def one_line(text: str, limit: int) -> str:
    """At most `limit` printable characters of a header, on one line."""
    words = " ".join(text[:HEADER_MAX_CHARS].split())
    return "".join(letter for letter in words if letter.isprintable())[:limit]
