"""A desk to test: its router in an application of its own, a visitor who fills in forms, and refunds that wait."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import argon2
import fastapi
import httpx
from selectolax.lexbor import LexborHTMLParser, LexborNode

import db
from refunds import ledger, payments
from tests.ledger import rewrite
from web import Event
from web.desk import routes

PASSWORD = "a few random words"
# As weak as the library allows: the tests sign in often.
HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
REVIEWERS = " ".join(f"{name}:{HASHER.hash(PASSWORD)}" for name in ("ada", "grace"))
HOST = "127.0.0.1:8000"


class Engine:
    """A `send` that remembers, or raises."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False

    async def __call__(self, events: Sequence[Event]) -> None:
        """Take the events."""
        if self.away:
            raise ConnectionError("the test's engine is away")
        self.events += events


def application(engine: Engine, *, dev: bool = True) -> fastapi.FastAPI:
    """The desk as an app mounts it; `REVIEWERS` is read now."""
    app = fastapi.FastAPI()
    app.include_router(routes.router(engine, dev=dev))
    return app


def browser(app: fastapi.FastAPI, *, address: str = "127.0.0.1", scheme: str = "http") -> httpx.AsyncClient:
    """A visitor: keeps cookies, follows nothing, and sends what a browser sends."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 50000))
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://{HOST}")


def parsed(answer: httpx.Response) -> LexborHTMLParser:
    return LexborHTMLParser(answer.text)


def words(answer: httpx.Response | LexborNode) -> str:
    """What a person reads, on one line."""
    node = (parsed(answer).css_first("main") or parsed(answer).body) if isinstance(answer, httpx.Response) else answer
    assert node is not None
    return " ".join(node.text(separator=" ").split())


def fields(answer: httpx.Response, selector: str = "form[data-decide]") -> dict[str, str]:
    """A form as its page filled it in; a box that nobody ticked is not sent."""
    form = parsed(answer).css_first(selector)
    assert form is not None, answer.text
    inputs = {
        node.attributes["name"]: node.attributes.get("value") for node in form.css("input[name]:not([type=checkbox])")
    }
    texts = {node.attributes["name"]: node.text() for node in form.css("textarea")}
    return {str(name): value or "" for name, value in (inputs | texts).items()}


async def sign_in(
    visitor: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD, **more: Any
) -> httpx.Response:
    """Open the page, fill in its form, send it."""
    form = fields(await visitor.get("/approvals/sign-in"), "main form")
    return await visitor.post("/approvals/sign-in", data=form | {"name": name, "password": password} | more)


async def decide(visitor: httpx.AsyncClient, refund_id: int, decision: str = "approve", **typed: str) -> httpx.Response:
    """Open a refund's page, fill in its form, press a button."""
    form = fields(await visitor.get(f"/approvals/{refund_id}"))
    return await visitor.post(f"/approvals/{refund_id}/decision", data=form | {"decision": decision} | typed)


async def asked(
    order_id: str = "A-1001",
    cents: int = 4900,
    *,
    customer: str = "cust_001",
    reason: str = "Duplicate charge",
    email: str | None = "I was charged twice.",
    minutes_left: float | None = None,
) -> int:
    """A refund that waits, and the email that asked for it; the refund's id."""
    run_id = f"run-{uuid4()}"
    if email is not None:
        await db.record("message_received", run_id, "audit-received", customer, email_text=email)
    wanted = {"call_id": "call", "order_id": order_id, "amount_cents": cents, "reason": reason}
    await ledger.open_requests(run_id, f"event-of-{run_id}", customer, [wanted])
    [row] = await ledger.of_run(run_id)
    if minutes_left is not None:
        await expires_in(row["id"], minutes_left)
    return int(row["id"])


async def pay(refund_id: int) -> None:
    """Do what the run does with an approved refund."""
    [row] = await db.fetch("select * from refunds where id = $1", refund_id)
    names = ("run_id", "call_id", "customer_id", "order_id", "amount_cents", "reason")
    assert (await payments.issue(*(row[name] for name in names)))["status"] == "issued"


async def expires_in(refund_id: int, minutes: float) -> None:
    """Move a refund's deadline."""
    await rewrite(
        "update refunds set expires_at = now() + $2 * interval '1 minute' where id = $1 returning id",
        refund_id,
        minutes,
    )


async def in_ledger(refund_id: int) -> tuple[Any, ...]:
    """A refund's status, approved cents, who decided and why."""
    [row] = await db.fetch(
        "select status, approved_cents, decided_by, decision_note from refunds where id = $1", refund_id
    )
    return tuple(row.values())


async def history(refund_id: int) -> list[tuple[str, str]]:
    """What happened to a refund: event and actor."""
    rows = await db.fetch("select event, actor from refund_history where refund_id = $1 order by id", refund_id)
    return [(row["event"], row["actor"]) for row in rows]
