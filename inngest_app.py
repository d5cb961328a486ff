"""The nervous system around the worker, one layer after the other, in the order of the course's Decisions.

The worker knows nothing of this file. A `ctx.step.run` is done once and its result remembered; what stands between two
steps runs again at every call of the engine, so it only passes remembered values on. A mark such as `D3` stands where
a Decision adds something to the one before; what is not marked is D1, and what is marked `beyond` the course does not
ask for.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import fastapi
import inngest
import inngest.fast_api
from dotenv import load_dotenv

import db
import settings
import web.desk.routes
import web.health
import web.limits
import web.webhooks.routes
import worker
from refunds import ledger
from steps import approval, failures, health_check, money_back, replies, retries, wake_ups
from steps.encryption import encryption
from telemetry import hooks

load_dotenv()
settings.check()
DEV = settings.dev_mode()
client = inngest.Inngest(
    app_id="customer-support",
    is_production=not DEV,
    logger=logging.getLogger("customer-support"),
    middleware=encryption() + hooks.middleware(),  # beyond
)


# region D2: every email leaves its rows
EMAIL_MAX_CHARS = 100_000


async def audit_received(event: inngest.Event, run_id: str) -> None:
    """Write `message_received`. Raises NonRetriableError for an email that can never be answered."""
    customer_id, text = event.data.get("customer_id"), event.data.get("email_text")
    if not isinstance(customer_id, str) or not isinstance(text, str) or not text.strip():
        raise inngest.NonRetriableError("customer/email.received needs a customer_id and an email_text.")
    if len(text) > EMAIL_MAX_CHARS:
        raise inngest.NonRetriableError(f"The email has {len(text)} characters; {EMAIL_MAX_CHARS} are read at most.")
    if await db.get_customer(customer_id) is None:
        raise inngest.NonRetriableError(f"There is no customer {customer_id[:100]!r}.")
    message_id = event.data.get("message_id")
    # An email from the webhook has these; a person who decides on a refund sees them.
    sender = {name: event.data[name] for name in ("from", "authentication") if name in event.data}
    received = {"event_id": event.id, "message_id": message_id, "email_text": text, **sender}
    await db.record("message_received", run_id, "audit-received", customer_id, **received)


# endregion D2


@retries.retry_model()  # beyond
async def run_agent(email_text: str, ticket: worker.Ticket) -> worker.Outcome:
    """The agent's whole run: it is paid for once, however often the function is called again."""
    return await worker.answer(db.clean(email_text), ticket)


@client.create_function(
    fn_id="handle-customer-email",
    # before D2: trigger=[],
    trigger=inngest.TriggerEvent(event="customer/email.received"),  # D2
    # region D4: a step that runs takes a slot; an email that waits for its approval takes none
    concurrency=[
        inngest.Concurrency(limit=settings.email_concurrency()),
        inngest.Concurrency(limit=settings.email_concurrency_per_customer(), key="event.data.customer_id"),
    ],
    throttle=inngest.Throttle(limit=settings.email_throttle_per_minute(), period=timedelta(minutes=1)),
    # endregion D4
)
async def handle_customer_email(ctx: inngest.Context) -> dict[str, str]:
    """Answer one email."""
    await ctx.step.run("audit-received", audit_received, ctx.event, ctx.run_id)  # D2
    ticket = worker.Ticket(customer_id=str(ctx.event.data["customer_id"]), run_id=ctx.run_id)
    outcome = await ctx.step.run("run-agent", run_agent, str(ctx.event.data["email_text"]), ticket)
    # region D5: the agent paused on refunds; after the answer it may ask for more
    while outcome["asked"]:
        decisions = await wait_for_approval(ctx, ticket, outcome["asked"])
        outcome = await ctx.step.run("resume-agent", approval.resume_agent, outcome["state"], ticket, decisions)
    # endregion D5
    reply = outcome["reply"] or worker.FOLLOW_UP
    # region D2
    # before beyond: sent = partial(db.record, "message_sent", ctx.run_id, "audit-sent", ticket["customer_id"])
    # before beyond: await ctx.step.run("audit-sent", partial(sent, reply=reply))
    await ctx.step.run("audit-sent", replies.audit_sent, ticket, ctx.event, reply, ctx.attempt)  # beyond
    # endregion D2
    return {"reply": reply}


functions: list[inngest.Function[Any]] = [handle_customer_email]


# region D3: the daily health check
EVENTS_AT_ONCE = 5000  # The engine takes no more in one request.


@client.create_function(fn_id="daily-health-check", trigger=inngest.TriggerCron(cron="0 9 * * *"))
async def daily_health_check(ctx: inngest.Context) -> int:
    """Every morning: one event, and so one run, for each customer whose tier includes a health check."""
    customers = await ctx.step.run("load-eligible-customers", health_check.load_eligible_customers)
    for start in range(0, len(customers), EVENTS_AT_ONCE):
        checks = [
            inngest.Event(
                name="customer/health_check.requested",
                # The event id of a scheduled run is its tick: a tick that is delivered twice sends the same events.
                id=f"health-check-{customer_id}-{ctx.event.id}",
                data={"customer_id": customer_id},
            )
            for customer_id in customers[start : start + EVENTS_AT_ONCE]
        ]
        await ctx.step.send_event("fan-out-health-checks", checks)
    return len(customers)


@client.create_function(
    fn_id="customer-health-check", trigger=inngest.TriggerEvent(event="customer/health_check.requested")
)
async def customer_health_check(ctx: inngest.Context) -> None:
    """One customer's share of the morning; if it fails, it holds up nobody else."""
    await ctx.step.run("record-health-check", health_check.record_health_check, ctx.event, ctx.run_id)


functions += [daily_health_check, customer_health_check]
# endregion D3


# region D5: the approval of refunds
# This is a constant, because data of an event in an f-string could break out of it. The second line is for the course's
# own event, which names the customer.
WAKES_THIS_RUN = (
    "async.data.request_id == event.id"
    " || (async.data.request_id == null && async.data.customer_id == event.data.customer_id)"
)


async def wait_for_approval(ctx: inngest.Context, ticket: worker.Ticket, asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell the reviewers and wait, at most four hours, until each refund is decided; the decisions by call id."""
    notify: Any = partial(
        ctx.step.run, "notify-reviewer", approval.notify_reviewer, ticket, ctx.event.id, asked, ctx.attempt
    )
    wait: Any = partial(
        ctx.step.wait_for_event, "await-refund-approval", event="refund/approval.decided", if_exp=WAKES_THIS_RUN
    )
    # Both begin together: a decision that is sent while the reviewers are being told would find nobody waiting.
    _, wake_up = await ctx.group.parallel((notify, partial(wait, timeout=ledger.WINDOW)))
    found = await ctx.step.run("read-decisions", approval.read_decisions, ctx.run_id, asked, wake_up, DEV)
    while found["seconds_left"]:
        # One of several was decided, or the event decided nothing: wait for what is left of the four hours.
        wake_up = await wait(timeout=timedelta(seconds=found["seconds_left"]))
        found = await ctx.step.run("read-decisions", approval.read_decisions, ctx.run_id, asked, wake_up, DEV)
    return dict(found["decisions"])


# endregion D5


# region beyond: failures, wake-ups that were lost, money that came back; and how the web hands over events
functions += [*failures.functions(client), *wake_ups.functions(client), *money_back.functions(client)]
SEND_SECONDS = 5


async def send(events: Sequence[web.Event]) -> None:
    """Give events to the engine. Raises after 5 seconds at most when it does not take them."""
    # The SDK tries five times in three seconds, but waits 30 for an engine that does not answer.
    async with asyncio.timeout(SEND_SECONDS):
        ids = await client.send([inngest.Event(**event) for event in events])
    if len(ids) != len(events):
        raise RuntimeError("the engine did not take every event")


# endregion beyond


@asynccontextmanager
async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
    """Close the database pool when the server stops."""
    yield
    await db.close()


app = fastapi.FastAPI(title="customer-support", lifespan=lifespan, docs_url=None, redoc_url=None)
# before beyond: inngest.fast_api.serve(app, client, functions)
# region beyond: limits, health, the approval desk, webhooks
if not settings.connect():
    # The engine signs its requests to register the app; by default the SDK also takes those of strangers.
    inngest.fast_api.serve(app, client, functions, enable_unauthed_sync=False)
app.add_middleware(web.limits.Limits, signed=not DEV)
app.include_router(web.health.routes)
app.include_router(web.desk.routes.router(send, dev=DEV))
app.include_router(web.webhooks.routes.router(send, dev=DEV))
app.include_router(hooks.routes())
# The description of the API is for those who send us something; the engine's own door is none of their business.
for route in app.routes:
    if isinstance(route, fastapi.routing.APIRoute) and route.path == "/api/inngest":
        route.include_in_schema = False
# endregion beyond
