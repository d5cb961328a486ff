"""A stand-in for Stripe's API that keeps its promises about idempotency keys and misbehaves in every other way.

Not Stripe, and not complete: the three calls that `providers.with_stripe` makes, over real HTTP, with what Stripe's
documentation says of them (https://docs.stripe.com/api/idempotent_requests, /api/refunds, /api/errors, /search). It
counts what it paid; that is what the tests believe.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.serving import listening

KEY = "sk_test_stand_in"
# Longer than any test's patience with an answer.
NEVER_SECONDS = 30
TERM = r"(?:metadata\['(\w+)'\]|(status)):'((?:[^'\\]|\\.)*)'"


class Broken(Response):
    """An answer whose connection is cut in the middle of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})
        await send({"type": "http.response.body", "body": b'{"id": "re_', "more_body": True})
        raise ConnectionResetError("cut by the test")


def error(status: int, message: str, kind: str = "invalid_request_error", **more: str) -> Response:
    """An error in Stripe's form."""
    return JSONResponse({"error": {"type": kind, "message": message, **more}}, status)


@dataclass
class FakeStripe:
    """The account: payments, refunds, and what goes wrong at the next calls."""

    payments: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    # Per call ("search", "list", "create"), in order: what happens instead of, or after, the right thing.
    trouble: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    calls: list[str] = field(default_factory=list)
    # Idempotency keys: the parameters they came with and the answer they got, None while it is worked on.
    answers: dict[str, tuple[dict[str, str], Response | None]] = field(default_factory=dict)
    refund_status: str = "succeeded"
    url: str = ""

    def charged(self, order_id: str, customer_id: str = "cust_001", cents: int = 4900, **more: str) -> str:
        """A customer paid for an order; the payment's id."""
        metadata = {"order_id": order_id, "customer_id": customer_id}
        payment = {"id": f"pi_{len(self.payments) + 1}", "object": "payment_intent", "status": "succeeded"}
        self.payments.append({**payment, "amount": cents, "metadata": metadata, **more})
        return payment["id"]

    def refunded_by_hand(self, payment: str, cents: int, status: str = "succeeded") -> None:
        """Somebody used the dashboard."""
        self.refunds.append(
            {
                "id": f"re_hand_{len(self.refunds) + 1}",
                "object": "refund",
                "amount": cents,
                "status": status,
                "payment_intent": payment,
                "metadata": {},
            }
        )

    def a_day_passes(self) -> None:
        """The idempotency keys are forgotten."""
        self.answers = {}

    def paid(self) -> list[tuple[str, int]]:
        """What really left the account through the API: order and cents, one entry per refund."""
        return [
            (refund["metadata"]["order_id"], refund["amount"])
            for refund in self.refunds
            if "order_id" in refund["metadata"] and refund["status"] not in {"failed", "canceled"}
        ]

    def _left(self, payment: dict[str, Any]) -> int:
        taken = [r["amount"] for r in self.refunds if r["payment_intent"] == payment["id"] and r["status"] != "failed"]
        return int(payment["amount"] - sum(taken))

    async def _search(self, parameters: dict[str, str], key: str) -> Response:
        """GET /v1/payment_intents/search."""
        query = parameters["query"]
        if not re.fullmatch(rf"{TERM}(?: AND {TERM})*", query):
            return error(400, f"We were unable to parse your search query: {query}")
        terms = [(name or status, re.sub(r"\\(.)", r"\1", value)) for name, status, value in re.findall(TERM, query)]
        found = [
            payment
            for payment in self.payments
            if all(
                value == (payment["status"] if name == "status" else payment["metadata"].get(name, ""))
                for name, value in terms
            )
        ]
        return JSONResponse({"object": "search_result", "url": "/v1/x", "has_more": False, "data": found})

    async def _list(self, parameters: dict[str, str], key: str) -> Response:
        """GET /v1/refunds."""
        found = [refund for refund in self.refunds if refund["payment_intent"] == parameters["payment_intent"]]
        page = found[::-1][: int(parameters.get("limit", "10"))]
        return JSONResponse({"object": "list", "url": "/v1/refunds", "has_more": len(found) > len(page), "data": page})

    async def _create(self, parameters: dict[str, str], key: str) -> Response:
        """POST /v1/refunds."""
        if key in self.answers:
            known, answer = self.answers[key]
            if known != parameters:
                return error(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                    "idempotency_error",
                )
            return answer or error(
                409,
                "There is currently another in-progress request using this key.",
                "idempotency_error",
                code="idempotency_key_in_use",
            )
        self.answers[key] = parameters, None
        self.answers[key] = parameters, self._refund(parameters)
        return self.answers[key][1] or Response()

    def _refund(self, parameters: dict[str, str]) -> Response:
        payment = next((each for each in self.payments if each["id"] == parameters["payment_intent"]), None)
        cents = int(parameters["amount"])
        if payment is None:
            return error(404, f"No such payment_intent: '{parameters['payment_intent']}'", code="resource_missing")
        if self._left(payment) <= 0:
            return error(400, f"Charge for {payment['id']} has already been refunded.", code="charge_already_refunded")
        if cents > self._left(payment):
            return error(400, f"Refund amount ({cents}) is greater than unrefunded amount on charge.")
        metadata = {name[9:-1]: value for name, value in parameters.items() if name.startswith("metadata[")}
        refund = {
            "id": f"re_{len(self.refunds) + 1}",
            "object": "refund",
            "amount": cents,
            "metadata": metadata,
            "payment_intent": payment["id"],
            "status": self.refund_status,
        }
        self.refunds.append(refund)
        return JSONResponse(refund)

    async def answer(self, request: Request) -> Response:
        """One call, with the trouble that is due."""
        name = {"/v1/payment_intents/search": "search"}.get(
            request.url.path, "create" if request.method == "POST" else "list"
        )
        self.calls.append(name)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "Invalid API Key provided: sk_****")
        parameters = dict(parse_qsl((await request.body()).decode()) or parse_qsl(request.url.query))
        key = request.headers.get("idempotency-key", "")
        trouble = self.trouble[name].pop(0) if self.trouble[name] else ""
        before = {
            "500 before": lambda: error(500, "An unknown error occurred", "api_error"),
            "503 before": lambda: Response("<h1>Service Unavailable</h1>", 503),
            "400 before": lambda: error(400, "Testmode request limit exceeded"),
            "402": lambda: error(402, "Your account cannot currently make live refunds.", "card_error"),
            "403": lambda: error(403, "The provided key does not have the required permissions."),
            "409": lambda: error(409, "The object is locked.", "idempotency_error", code="lock_timeout"),
            "429": lambda: error(429, "Too many requests", "rate_limit_error", code="rate_limit"),
        }
        if trouble in before:
            return before[trouble]()
        if trouble == "silence before":
            await asyncio.sleep(NEVER_SECONDS)
        done = await {"search": self._search, "list": self._list, "create": self._create}[name](parameters, key)
        match trouble:
            case "silence after":
                await asyncio.sleep(NEVER_SECONDS)
            case "500 after":
                # Stripe keeps this answer for the key, too.
                done = error(500, "An unknown error occurred", "api_error")
                self.answers[key] = parameters, done
            case "cut after":
                return Broken()
            case "garbage after":
                return Response("<html>captive portal</html>")
            case "locked after":
                # For Stripe the first call is still being worked on when the next one comes.
                self.answers[key] = parameters, None
                await asyncio.sleep(NEVER_SECONDS)
        return done


@asynccontextmanager
async def serve(fake: FakeStripe) -> AsyncIterator[FakeStripe]:
    """The account on a port of its own, in this process."""
    routes = [
        Route(path, fake.answer, methods=["GET", "POST"]) for path in ("/v1/payment_intents/search", "/v1/refunds")
    ]
    async with listening(Starlette(routes=routes), "critical", grace_seconds=0) as fake.url:
        yield fake
