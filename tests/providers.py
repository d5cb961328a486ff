"""What providers post to the webhooks, as their documentation shows it, and how Stripe signs it."""

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import fastapi
import httpx
import stripe

import db
from web import Event
from web.webhooks import routes

AUTH = ("postmark", "correct horse battery")
STRIPE_SECRET = "whsec_5f2b8c1de09a47b3"
SETTINGS = {"EMAIL_WEBHOOK_AUTH": ":".join(AUTH), "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET}

# https://postmarkapp.com/developer/webhooks/inbound-webhook
POSTMARK: dict[str, Any] = {
    "FromName": "Postmarkapp Support",
    "MessageStream": "inbound",
    "From": "support@postmarkapp.com",
    "FromFull": {"Email": "support@postmarkapp.com", "Name": "Postmarkapp Support", "MailboxHash": ""},
    "To": '"Firstname Lastname" <yourhash+SampleHash@inbound.postmarkapp.com>',
    "ToFull": [
        {
            "Email": "yourhash+SampleHash@inbound.postmarkapp.com",
            "Name": "Firstname Lastname",
            "MailboxHash": "SampleHash",
        }
    ],
    "Cc": '"First Cc" <firstcc@postmarkapp.com>, secondCc@postmarkapp.com>',
    "CcFull": [
        {"Email": "firstcc@postmarkapp.com", "Name": "First Cc", "MailboxHash": ""},
        {"Email": "secondCc@postmarkapp.com", "Name": "", "MailboxHash": ""},
    ],
    "Bcc": '"First Bcc" <firstbcc@postmarkapp.com>, secondbcc@postmarkapp.com>',
    "BccFull": [
        {"Email": "firstbcc@postmarkapp.com", "Name": "First Bcc", "MailboxHash": ""},
        {"Email": "secondbcc@postmarkapp.com", "Name": "", "MailboxHash": ""},
    ],
    "OriginalRecipient": "yourhash+SampleHash@inbound.postmarkapp.com",
    "Subject": "Test subject",
    "MessageID": "73e6d360-66eb-11e1-8e72-a8904824019b",
    "ReplyTo": "replyto@postmarkapp.com",
    "MailboxHash": "SampleHash",
    "Date": "Fri, 1 Aug 2014 16:45:32 -04:00",
    "TextBody": "This is a test text body.",
    "HtmlBody": "<html><body><p>This is a test html body.</p></body></html>",
    "StrippedTextReply": "This is the reply text",
    "Tag": "TestTag",
    "Headers": [
        {"Name": "X-Header-Test", "Value": ""},
        {"Name": "X-Spam-Status", "Value": "No"},
        {"Name": "X-Spam-Score", "Value": "-0.1"},
        {"Name": "X-Spam-Tests", "Value": "DKIM_SIGNED,DKIM_VALID,DKIM_VALID_AU,SPF_PASS"},
    ],
    "Attachments": [
        {
            "Name": "test.txt",
            "Content": "VGhpcyBpcyBhdHRhY2htZW50IGNvbnRlbnRzLCBiYXNlLTY0IGVuY29kZWQu",
            "ContentType": "text/plain",
            "ContentLength": 45,
        }
    ],
}

# https://docs.stripe.com/api/refunds/object, /api/disputes/object and /api/events/object
REFUND: dict[str, Any] = {
    "id": "re_1Nispe2eZvKYlo2Cd31jOCgZ",
    "object": "refund",
    "amount": 1000,
    "balance_transaction": "txn_1Nispe2eZvKYlo2CYezqFhEx",
    "charge": "ch_1NirD82eZvKYlo2CIvbtLWuY",
    "created": 1692942318,
    "currency": "usd",
    "destination_details": {"card": {"type": "refund"}, "type": "card"},
    "failure_balance_transaction": "txn_1Nispf2eZvKYlo2CT9xvGLbz",
    "failure_reason": "expired_or_canceled_card",
    "metadata": {},
    "payment_intent": "pi_1GszsK2eZvKYlo2CfhZyoZLp",
    "reason": None,
    "receipt_number": None,
    "source_transfer_reversal": None,
    "status": "failed",
    "transfer_reversal": None,
}
DISPUTE: dict[str, Any] = {
    "id": "du_1MtJUT2eZvKYlo2CNaw2HvEv",
    "object": "dispute",
    "amount": 1000,
    "balance_transactions": [],
    "charge": "ch_1AZtxr2eZvKYlo2CJDX8whov",
    "created": 1680651737,
    "currency": "usd",
    "evidence": {"customer_name": None, "receipt": None, "uncategorized_text": None},
    "evidence_details": {"due_by": 1682294399, "has_evidence": False, "past_due": False, "submission_count": 0},
    "is_charge_refundable": True,
    "livemode": False,
    "metadata": {},
    "payment_intent": None,
    "reason": "general",
    "status": "warning_needs_response",
}


def stripe_event(kind: str, about: dict[str, Any], event_id: str = "evt_1NG8Du2eZvKYlo2CUI79vXWy") -> dict[str, Any]:
    """An event as Stripe posts it."""
    return {
        "id": event_id,
        "object": "event",
        "api_version": "2024-10-28.acacia",
        "created": 1692942319,
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def by_stripe(body: bytes, secret: str = STRIPE_SECRET, age: float = 0) -> dict[str, str]:
    """The header with which Stripe signed the body `age` seconds ago."""
    signed_at = int(time.time() - age)
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, signed_at)
    return {"Stripe-Signature": header}


def basic(auth: tuple[str, str]) -> str:
    """The header of Basic authentication."""
    return "Basic " + base64.b64encode(":".join(auth).encode()).decode()


class Webhooks:
    """The webhooks in an app of their own, and the events that they sent."""

    def __init__(self, *, dev: bool = False) -> None:
        self.sent: list[Event] = []
        self.engine_is_down = False
        self.app = fastapi.FastAPI()
        self.app.include_router(routes.router(self.send, dev=dev))
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://app")

    async def send(self, events: Sequence[Event]) -> None:
        if self.engine_is_down:
            raise ConnectionError("http://engine/e/event-key-1234 refused")
        self.sent += events

    async def post(self, path: str, content: bytes | Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """Post bytes, or anything else as JSON, without any proof of who it is."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"content-type": "application/json"} | (headers or {})
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        return await self._http.post(path, content=body, headers=encoded)

    async def email(self, content: Any, auth: tuple[str, str] | None = AUTH) -> httpx.Response:
        """An email from the provider that knows the password."""
        return await self.post("/webhooks/email", content, {"authorization": basic(auth)} if auth else {})

    async def stripe(self, content: Any, secret: str = STRIPE_SECRET, age: float = 0) -> httpx.Response:
        """An event from Stripe."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.post("/webhooks/stripe", body, by_stripe(body, secret, age))


async def rows() -> int:
    """How many rows there are in everything that the app writes."""
    counted = await db.fetch(
        "select (select count(*) from audit_log) + (select count(*) from refunds)"
        " + (select count(*) from refund_history) as everything"
    )
    return int(counted[0]["everything"])
