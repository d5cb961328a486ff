"""The webhooks: inbound email at /webhooks/email, and Stripe's events at /webhooks/stripe.

Each proves who sent a request before it parses anything, then sends one event, whose id is made of the provider's own,
so that a repeated delivery changes nothing. What the app cannot take just now is not lost. Postmark repeats whatever is
not answered with exactly 200, ten times within 10.5 hours (https://postmarkapp.com/developer/webhooks/inbound-webhook),
and Stripe repeats for three days (https://docs.stripe.com/webhooks). No answer is a 403: Postmark would stop.
"""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import fastapi
import pydantic
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBasic

import settings
from people import lost
from web import Event, Send
from web.limits import within
from web.webhooks import inbound_email, inbox, stripe_events
from web.webhooks.endpoint import Endpoint

# Postmark delivers up to 35 MB of attachments, in base64. Its option to include the raw email would double that, and
# has to stay off.
EMAIL = Endpoint("email", max_bytes=50 * 2**20, seconds=60)
STRIPE = Endpoint("stripe")
LOOKUP_SECONDS = 8
STOP_SECONDS = 5


class Answer(pydantic.BaseModel):
    """What a provider is told when it has nothing to repeat."""

    status: Literal["accepted", "ignored"]


class Refusal(pydantic.BaseModel):
    """What a caller is told otherwise."""

    detail: str


class EmailAuth(HTTPBasic):
    """Basic authentication, compared in constant time, before any of the body is read."""

    def __init__(self, expected: bytes) -> None:
        super().__init__(scheme_name="EmailWebhookAuth")
        self.expected = expected

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise 401 for anything but the expected user and password."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except ValueError:
            given = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(given, self.expected):
            raise EMAIL.refusal(401, "wrong or missing credentials", {"WWW-Authenticate": 'Basic realm="webhooks"'})


def router(send: Send, *, dev: bool) -> fastapi.APIRouter:
    """Both webhooks, as the settings say now. Raises settings.SettingError for a setting that cannot work.

    A webhook without its setting answers 503; in dev mode the one for email is open to everybody instead. As long as
    the app runs, emails that may be lost are looked for.
    """

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(lost.keep_looking(send))
        yield
        looking.cancel()
        # A query that is cancelled waits for its database, and a frozen one would keep the app from ending.
        await asyncio.wait({looking}, timeout=STOP_SECONDS)

    webhooks = fastapi.APIRouter(prefix="/webhooks", tags=["webhooks"], lifespan=lifespan)
    _add_email(webhooks, send, settings.email_webhook_auth(), dev=dev)
    _add_stripe(webhooks, send, settings.stripe_webhook_secrets())
    return webhooks


def _add_email(webhooks: fastapi.APIRouter, send: Send, auth: bytes | None, *, dev: bool) -> None:
    most_in_an_hour = settings.emails_per_sender_per_hour()

    async def kept(email: inbound_email.PostmarkEmail) -> Event | None:
        return await inbox.keep(await inbound_email.to_event(email), most_in_an_hour)

    @webhooks.post(
        "/email",
        dependencies=[fastapi.Depends(EmailAuth(auth))] if auth else [],
        responses=_refusals([400, 401, 408, 413, 415, 503] if auth else [400, 408, 413, 415, 503]),
        openapi_extra=_request([inbound_email.PostmarkEmail, inbound_email.PlainEmail]),
    )
    async def receive_email(request: fastapi.Request) -> Answer:
        """An email, as Postmark's inbound webhook or in the plain form; it becomes `customer/email.received`."""
        if not (auth or dev):
            raise EMAIL.not_configured("EMAIL_WEBHOOK_AUTH")
        # A web page in somebody's browser can post any other type to this machine without asking.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise EMAIL.refusal(415, "the Content-Type is not application/json")
        email = EMAIL.validated(inbound_email.parse, EMAIL.parse(await EMAIL.read(request)))
        try:
            # Without a limit, a pool whose connections are all taken would let it wait for ever.
            to_send = await within(LOOKUP_SECONDS, kept(email))
        except Exception as error:
            raise EMAIL.unavailable("the email could not be kept", error) from None
        if to_send is not None:
            await EMAIL.hand_over(send, to_send)
        return Answer(status="accepted")


def _add_stripe(webhooks: fastapi.APIRouter, send: Send, secrets: list[str]) -> None:
    @webhooks.post(
        "/stripe",
        responses=_refusals([400, 401, 408, 413, 503]),
        openapi_extra=_request([stripe_events.StripeEvent], headers=["Stripe-Signature"]),
    )
    async def receive_stripe(request: fastapi.Request) -> Answer:
        """A refund that failed or a dispute that was opened, from Stripe; every other type is ignored."""
        if not secrets:
            raise STRIPE.not_configured("STRIPE_WEBHOOK_SECRET")
        body = await STRIPE.read(request)
        signature = request.headers.get("stripe-signature")
        if not any(stripe_events.is_signed(body, signature, secret) for secret in secrets):
            raise STRIPE.refusal(401, "wrong, missing or outdated signature")
        event = STRIPE.validated(stripe_events.to_event, STRIPE.parse(body))
        if event is None:
            return Answer(status="ignored")
        await STRIPE.hand_over(send, event)
        return Answer(status="accepted")


# The description of the API at /openapi.json. FastAPI cannot write it by itself, because the bodies are read by hand.

REASONS = {
    400: "Malformed; the reason says what.",
    401: "Wrong or missing credentials or signature.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    503: "Not now, or not configured: to be repeated.",
}


def _refusals(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal, "description": REASONS[status]} for status in statuses}


def _request(bodies: Sequence[type[pydantic.BaseModel]], headers: Sequence[str] = ()) -> dict[str, Any]:
    """The headers and the body that a webhook reads; the body fits one of the models."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in headers
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": [_schema(body) for body in bodies]}}},
        },
    }


def _schema(model: type[pydantic.BaseModel]) -> Any:
    """The model's JSON schema without references, because in an OpenAPI document they would point elsewhere."""
    schema = model.model_json_schema(ref_template="{model}")
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, list):
            return [resolved(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolved(definitions[part["$ref"]])
        return {name: resolved(item) for name, item in part.items()}

    return resolved(schema)
