"""The whole app in this process, with a Postgres of its own and an engine whose clock moves; no real money, no mail."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import db
from evals.cases import Case, Found, Refund
from offline.dev import own_settings
from offline.inngest_server import DevServer
from offline.processes import INHERITED, free_port
from offline.serving import served
from refunds import ledger, payments

# A case that is not over after so many looks never will be.
MOST_LOOKS = 8


def set_up(database_url: str) -> None:
    """Leave of the environment and of .env what names the model, and nothing that reaches a mail server or a bank.

    It has to come before anything imports the app. Without OPENAI_API_KEY the model is the rule-based one.
    """
    model = {name: value for name, value in own_settings().items() if name.startswith(("OPENAI_", "MODEL"))}
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    os.environ.clear()
    os.environ.update(inherited | model)
    os.environ |= {
        "PYTHON_DOTENV_DISABLED": "1",
        "DATABASE_URL": database_url,
        "INNGEST_DEV": f"http://127.0.0.1:{free_port()}",
        "PAYMENTS": "ledger",
        "EMAIL_THROTTLE_PER_MINUTE": "6000",
    }


@asynccontextmanager
async def running() -> AsyncIterator[DevServer]:
    """An engine that knows the app, both listening until the end."""
    from inngest_app import app  # noqa: PLC0415 (it reads the environment)

    port = urlsplit(os.environ["INNGEST_DEV"]).port or 0
    async with served(app) as (_, url), DevServer(port=port, sdk_urls=[f"{url}/api/inngest"], poll=False) as engine:
        await engine.synced("customer-support")
        yield engine


async def play(engine: DevServer, case: Case, writer: str) -> Found:
    """Play one case for a customer who is new, so that no case sees another. `writer` is the customer's id."""
    other = f"{writer}-other"
    for customer_id, refunds in ((writer, case.before), (other, case.others)):
        await add_customer(customer_id)
        for refund in refunds:
            await happened(customer_id, refund)
    write(engine, writer, case.email.replace("{other}", other))
    decided: set[int] = set()
    for _ in range(MOST_LOOKS):
        await engine.settle()
        if await _replies(writer) or await _has_failed(writer):
            break
        waiting = await db.fetch("select id from refunds where customer_id = $1 and status = 'pending'", writer)
        undecided = [row["id"] for row in waiting if row["id"] not in decided]
        if undecided and case.decide != "nobody":
            decided.update(undecided)
            for refund_id in undecided:
                # One after the other: an event that comes while the run does not wait would decide nothing.
                await _decide(engine, writer, refund_id, case)
        elif waiting:
            await engine.advance(ledger.WINDOW + timedelta(minutes=1))
        else:  # A step failed and is tried again.
            await engine.advance(timedelta(minutes=2))
    return Found(
        other=other,
        refunds=(await _refunds(writer))[len(case.before) :],
        of_others=(await _refunds(other))[len(case.others) :],
        replies=await _replies(writer),
        failed=await _has_failed(writer),
    )


async def add_customer(customer_id: str) -> str:
    """Add a customer of the tier pro; the email address."""
    address = f"{customer_id}@customers.example"
    await db.fetch("insert into customers (id, email, tier) values ($1, $2, 'pro') returning id", customer_id, address)
    return address


def write(engine: DevServer, customer_id: str, text: str) -> None:
    """Let a customer write. The email's event id is made of the customer's."""
    data = {"customer_id": customer_id, "email_text": text}
    engine.send_events([{"id": f"mail-of-{customer_id}", "name": "customer/email.received", "data": data}])


async def _decide(engine: DevServer, writer: str, refund_id: int, case: Case) -> None:
    """The reviewer decides the oldest of the email's refunds that wait."""
    data: dict[str, Any] = {"request_id": f"mail-of-{writer}", "approved": case.decide == "approve"}
    data["rejection_message"] = case.note
    engine.send_events([{"id": f"decision-{refund_id}", "name": "refund/approval.decided", "data": data}])
    await engine.settle()


async def happened(customer_id: str, refund: Refund) -> None:
    """Let the ledger take an earlier refund its usual way, decided by a person. Raises ValueError for a second one."""
    order, cents, reason = refund["order"], refund["cents"], "Reported earlier"
    run_id = f"before-{customer_id}-{order}"
    facts = {"call_id": "call", "order_id": order, "amount_cents": cents, "reason": reason}
    await ledger.open_requests(run_id, run_id, customer_id, [facts])
    if not await ledger.waiting(run_id, ["call"]):
        raise ValueError(f"{order} is there twice in what was before")
    approved = refund["status"] == "issued"
    await ledger.decide_oldest(run_id, None, ledger.Decision(approved=approved, by="grace", key=run_id))
    if approved:
        await payments.issue(run_id, "call", customer_id, order, cents, reason)
    else:
        await ledger.block_the_rest(run_id, "rejected")


async def _refunds(customer_id: str) -> list[Refund]:
    rows = await db.fetch(
        'select order_id as "order", coalesce(approved_cents, amount_cents)::int as cents, status from refunds'
        " where customer_id = $1 order by id",
        customer_id,
    )
    return [Refund(order=row["order"], cents=row["cents"], status=row["status"]) for row in rows]


async def _replies(customer_id: str) -> list[str]:
    rows = await db.fetch(
        "select detail->>'reply' as reply from audit_log where customer_id = $1 and action = 'message_sent'",
        customer_id,
    )
    return [row["reply"] for row in rows]


async def _has_failed(customer_id: str) -> bool:
    query = "select from audit_log where customer_id = $1 and action = 'run_failed' limit 1"
    return bool(await db.fetch(query, customer_id))
