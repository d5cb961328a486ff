"""The doors for other systems: inbound email, Stripe, and whatever signs by the Standard Webhooks scheme.

In each: authenticity before anything is parsed, then one event, whose id is the provider's, so that a redelivery does
nothing. No provider loses anything: Postmark repeats whatever is not answered with exactly 200 ten times in 10.5 hours
(https://postmarkapp.com/developer/webhooks/inbound-webhook), Stripe for three days (https://docs.stripe.com/webhooks),
and a Standard Webhooks sender for days (https://www.standardwebhooks.com). None of them is sent the 403 or 410 that
would make it stop.
"""

import asyncio
import base64
import hmac
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import fastapi
import pydantic
import standardwebhooks
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBasic

from web import Send
from web.webhooks import inbound_email, signed
from web.webhooks.bodies import Door

# Postmark delivers up to 35 MB of attachments, in base64; its "include raw email" would double that and stays off.
EMAIL = Door("email", max_bytes=50 * 2**20, seconds=60)
STRIPE = Door("stripe")
GENERIC = Door("generic")
LOOKUP_SECONDS = 10
# Whoever signs as one of these could speak for the app itself.
RESERVED = {
    "approval",
    "audit",
    "concepts",
    "customer",
    "demo",
    "email",
    "inngest",
    "refund",
    "reviewer",
    "stripe",
    "support",
}
SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}")


def check_settings() -> None:
    """Raise ValueError, in one sentence without a secret, for settings that no door could work with."""
    email_auth()
    stripe_secrets()
    services()


def email_auth() -> bytes | None:
    """`EMAIL_WEBHOOK_AUTH`, user:password, as the provider has it in the webhook's URL; None when it is not set."""
    value = os.environ.get("EMAIL_WEBHOOK_AUTH", "").strip()
    user, _, password = value.partition(":")
    if value and not (user and password and value.isprintable()):
        raise ValueError("EMAIL_WEBHOOK_AUTH is not usable: expected user:password")
    return value.encode() or None


def stripe_secrets() -> list[str]:
    """`STRIPE_WEBHOOK_SECRET`: one signing secret, or several separated by spaces while one is being rolled."""
    secrets = os.environ.get("STRIPE_WEBHOOK_SECRET", "").split()
    if not all(re.fullmatch(r"whsec_\S{8,}", secret) for secret in secrets):
        raise ValueError("STRIPE_WEBHOOK_SECRET is not usable: a signing secret begins with whsec_")
    return secrets


def services() -> dict[str, list[standardwebhooks.Webhook]]:
    """`GENERIC_WEBHOOKS`: name=whsec_... of each service, separated by spaces; twice while its secret is rolled."""
    found: dict[str, list[standardwebhooks.Webhook]] = {}
    for entry in os.environ.get("GENERIC_WEBHOOKS", "").split():
        name, equals, secret = entry.partition("=")
        if not equals or not SERVICE.fullmatch(name):
            raise ValueError("GENERIC_WEBHOOKS is not usable: expected name=whsec_... with small letters, digits and -")
        if name in RESERVED:
            raise ValueError(f"GENERIC_WEBHOOKS is not usable: the app itself sends events named {name}/...")
        if not is_key(secret):
            raise ValueError(f"GENERIC_WEBHOOKS is not usable: {name} needs whsec_ and 24 to 64 bytes in base64")
        found.setdefault(name, []).append(standardwebhooks.Webhook(secret))
    return found


def is_key(secret: str) -> bool:
    """Whether this is a symmetric secret as the specification has it: whsec_ and 24 to 64 bytes in base64."""
    encoded = secret.removeprefix("whsec_")
    try:
        # As the library does: padding may have been left out.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return False
    return encoded != secret and len(key) in range(24, 65)


class Answer(pydantic.BaseModel):
    """What a provider is told when nothing has to be repeated."""

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


REASONS = {
    400: "Malformed; the reason says what.",
    401: "Wrong or missing credentials or signature.",
    404: "No service of this name is configured.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    503: "Not now, or not configured: to be repeated.",
}


def answers(*refusals: int) -> dict[int | str, dict[str, Any]]:
    """How the API's description lists a door's refusals."""
    return {status: {"model": Refusal, "description": REASONS[status]} for status in refusals}


def described(
    *bodies: type[pydantic.BaseModel], path: Sequence[str] = (), headers: Sequence[str] = ()
) -> dict[str, Any]:
    """How the API's description tells what a door reads by itself."""
    text = {"type": "string"}
    return {
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": text} for name in path),
            *({"name": name, "in": "header", "required": True, "schema": text} for name in headers),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": [inlined(body) for body in bodies]}}},
        },
    }


def inlined(model: type[pydantic.BaseModel]) -> Any:
    """The model's JSON schema without references, which mean something else inside of an OpenAPI document."""
    schema = model.model_json_schema(ref_template="{model}")
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, dict):
            part = definitions[part["$ref"]] if "$ref" in part else part
            return {name: resolved(item) for name, item in part.items()}
        return [resolved(item) for item in part] if isinstance(part, list) else part

    return resolved(schema)


def router(send: Send, *, dev: bool) -> fastapi.APIRouter:
    """The three doors, as the environment configures them now. Raises ValueError like `check_settings`.

    In dev mode the email door is open without credentials; every other door that is not configured answers 503.
    """
    auth, secrets, known = email_auth(), stripe_secrets(), services()
    routes = fastapi.APIRouter(prefix="/webhooks", tags=["webhooks"])

    @routes.post(
        "/email",
        dependencies=[fastapi.Depends(EmailAuth(auth))] if auth else [],
        responses=answers(400, 408, 413, 415, 503, *([401] if auth else [])),
        openapi_extra=described(inbound_email.PostmarkEmail, inbound_email.PlainEmail),
    )
    async def receive_email(request: fastapi.Request) -> Answer:
        """An email, as Postmark's inbound webhook or in the plain form; it becomes `customer/email.received`."""
        if not (auth or dev):
            raise EMAIL.closed("EMAIL_WEBHOOK_AUTH")
        # A page in somebody's browser can post anything else to a door on this machine, unasked.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise EMAIL.refusal(415, "the Content-Type is not application/json")
        email = EMAIL.understood(inbound_email.parse, EMAIL.parse(await EMAIL.read(request)))
        try:
            # A pool whose connections are all taken would let it wait for ever.
            async with asyncio.timeout(LOOKUP_SECONDS):
                event = await inbound_email.to_event(email)
        except Exception as error:
            raise EMAIL.unavailable("the customers could not be read", error) from None
        await EMAIL.hand_over(send, event)
        return Answer(status="accepted")

    @routes.post(
        "/stripe",
        responses=answers(400, 401, 408, 413, 503),
        openapi_extra=described(signed.StripeEvent, headers=["Stripe-Signature"]),
    )
    async def receive_stripe(request: fastapi.Request) -> Answer:
        """A refund that failed or a dispute, from Stripe; every other type is ignored."""
        if not secrets:
            raise STRIPE.closed("STRIPE_WEBHOOK_SECRET")
        body = await STRIPE.read(request)
        if not any(
            signed.signed_by_stripe(body, request.headers.get("stripe-signature"), secret) for secret in secrets
        ):
            raise STRIPE.refusal(401, "wrong, missing or outdated signature")
        event = STRIPE.understood(signed.stripe_event, STRIPE.parse(body))
        if event is None:
            return Answer(status="ignored")
        await STRIPE.hand_over(send, event)
        return Answer(status="accepted")

    @routes.post(
        "/generic/{name}",
        responses=answers(400, 401, 404, 408, 413, 503),
        openapi_extra=described(
            signed.Message, path=["name"], headers=["webhook-id", "webhook-timestamp", "webhook-signature"]
        ),
    )
    async def receive_generic(request: fastapi.Request) -> Answer:
        """A message of a configured service by the Standard Webhooks scheme; it becomes `{name}/{type}`."""
        name = request.path_params["name"]
        if name not in known:
            raise GENERIC.refusal(404, "no service of this name is configured")
        body = await GENERIC.read(request)
        if not any(signed.signed_by(webhook, body, request.headers) for webhook in known[name]):
            raise GENERIC.refusal(401, "wrong, missing or outdated signature")
        message_id = request.headers["webhook-id"]
        if not re.fullmatch(inbound_email.EVENT_ID, message_id):
            raise GENERIC.refusal(400, "the webhook-id is not up to 200 printable characters")
        event = GENERIC.understood(partial(signed.message_event, name, message_id), GENERIC.parse(body))
        await GENERIC.hand_over(send, event)
        return Answer(status="accepted")

    return routes
