"""The nervous system around the worker: it wakes on events, survives crashes, keeps its balance, waits for people.

The worker knows nothing of this file. Each `ctx.step.run` is done once and remembered; what stands between steps runs
again at every call, so it only passes remembered values on. What the steps do is in `steps.py`. Regions and lines
carry the number of the Decision that adds them, or `doors` for what goes beyond the course.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import fastapi
import inngest
import inngest.fast_api
from dotenv import load_dotenv
from inngest_encryption import EncryptionMiddleware

import after_payment
import db
import settings
import steps
import web
import web.desk.routes
import web.webhooks.routes
import worker
from refunds import ledger, payments
from web import health

load_dotenv()
logger = logging.getLogger("customer-support")


# region D1: the client, and what remains of an email that failed
DEV = settings.is_dev()
settings.check_others(db.database_url, partial(payments.check_settings, dev=DEV), settings.check)
# Step outputs hold emails and the agent's saved state; with a key, the engine stores them encrypted.
key = os.environ.get("ENCRYPTION_KEY")
client = inngest.Inngest(
    app_id="customer-support",
    is_production=not DEV,
    logger=logger,
    middleware=[EncryptionMiddleware.factory(key)] if key else [],
)


EMAIL_HANDLER = "event.data.function_id == 'customer-support-handle-customer-email'"


# Not `on_failure=`: the SDK registers such a handler without retries (seen in 0.5.19), so a process that dies in it,
# or a database that is away, would lose the last trace of the email.
@client.create_function(
    fn_id="record-failed-email",
    trigger=[
        inngest.TriggerEvent(event="inngest/function.failed", expression=EMAIL_HANDLER),
        inngest.TriggerEvent(event="inngest/function.cancelled", expression=EMAIL_HANDLER),
    ],
)
async def record_failed_email(ctx: inngest.Context) -> None:
    """Nobody's message disappears: a run that failed for good, or was cancelled, leaves a row that a person finds."""
    await ctx.step.run("audit-run-failed", steps.audit_run_failed, ctx.event.data)


# endregion D1


# region D4: flow control
# Slots are held by steps that run: an email that waits for its approver holds none.
EMAIL_CONCURRENCY = [
    inngest.Concurrency(limit=settings.whole_number("EMAIL_CONCURRENCY", 10)),
    inngest.Concurrency(limit=settings.whole_number("EMAIL_CONCURRENCY_PER_CUSTOMER", 2), key="event.data.customer_id"),
]
EMAIL_THROTTLE = inngest.Throttle(
    limit=settings.whole_number("EMAIL_THROTTLE_PER_MINUTE", 30), period=timedelta(minutes=1)
)
# endregion D4


# region D5: the gate on refunds
MAX_ROUNDS = 3
# A constant: out of an f-string with event data in it, the data could escape. The second line serves the course's
# own event, which names the customer.
WAKES_THIS_RUN = (
    "async.data.request_id == event.id"
    " || (async.data.request_id == null && async.data.customer_id == event.data.customer_id)"
)


async def pass_the_gate(ctx: inngest.Context, ticket: worker.Ticket, outcome: worker.Outcome) -> worker.Outcome:
    """Hold the run until its refunds are decided and resume it, again if it then asks for more."""
    rounds, seconds_left = 0, 0
    for number in count(1):
        if not outcome["asked"]:
            break
        suffix = "" if number == 1 else f"-{number}"
        wait = partial(
            ctx.step.wait_for_event, f"await-refund-approval{suffix}", event="refund/approval.decided",
            if_exp=WAKES_THIS_RUN, timeout=timedelta(seconds=seconds_left) or ledger.WINDOW,
        )  # fmt: skip
        if seconds_left:
            wake_up = await wait()
        else:
            notify: Any = partial(
                ctx.step.run, f"notify-reviewer{suffix}", steps.notify_reviewer,
                ticket, ctx.event.id, outcome["asked"], ctx.attempt,
            )  # fmt: skip
            # Registered together: a decision sent while the reviewer is being told would find nobody waiting.
            _, wake_up = await ctx.group.parallel((notify, wait))
        calls = [refund["call_id"] for refund in outcome["asked"]]
        read = partial(steps.read_decisions, ctx.run_id, wake_up, dev=DEV, calls=calls)
        verdict = await ctx.step.run(f"read-decisions{suffix}", read)
        seconds_left = verdict["seconds_left"]
        if not seconds_left:
            rounds += 1
            outcome = await ctx.step.run(
                f"resume-agent{suffix}", steps.resume_agent,
                outcome["state"] or {}, ticket, verdict["decisions"], f"resume-agent{suffix}", rounds < MAX_ROUNDS,
            )  # fmt: skip
    return outcome


@client.create_function(fn_id="resend-wake-ups", trigger=inngest.TriggerCron(cron="*/5 * * * *"))
async def resend_wake_ups(ctx: inngest.Context) -> int:
    """A lost wake-up and a payment cut short wait for minutes, the refunds of a lost run for a day."""
    rows = await ctx.step.run("load-unapplied", ledger.decided_but_not_applied)
    wake_ups = [
        inngest.Event(
            name="refund/approval.decided",
            id=f"wake-up-{row['id']}-{ctx.event.id}",
            data={"request_id": row["request_id"], "refund_id": row["id"]},
        )
        for row in rows
    ]
    if wake_ups:
        await ctx.step.send_event("send-wake-ups", wake_ups)
    await ctx.step.run("close-abandoned", ledger.close_abandoned)
    # Last: a provider that is down must not hold up the wake-ups.
    await ctx.step.run("finish-payments", payments.finish_payments)
    return len(wake_ups)


# endregion D5


# region D1: the email handler
@client.create_function(
    fn_id="handle-customer-email",
    trigger=inngest.TriggerEvent(event="customer/email.received"),
    concurrency=EMAIL_CONCURRENCY,  # D4
    throttle=EMAIL_THROTTLE,  # D4
    retries=steps.RETRIES,
)
async def handle_customer_email(ctx: inngest.Context) -> dict[str, Any]:
    """One email: received, answered, and if money is to move, not before a person has said yes."""
    await ctx.step.run("audit-received", steps.audit_received, ctx.event, ctx.run_id)
    ticket = worker.Ticket(customer_id=str(ctx.event.data["customer_id"]), run_id=ctx.run_id)
    # before D2: outcome = await worker.answer(str(ctx.event.data["email_text"]), ticket)
    outcome = await ctx.step.run("run-agent", steps.run_agent, str(ctx.event.data["email_text"]), ticket)  # D2
    outcome = await pass_the_gate(ctx, ticket, outcome)  # D5
    await ctx.step.run(
        "audit-sent", steps.audit_sent, ticket, ctx.event, outcome["reply"] or steps.FOLLOW_UP, ctx.attempt
    )
    return {"reply": outcome["reply"]}


# endregion D1


# region D3: the daily health check, fanned out
@client.create_function(fn_id="daily-health-check", trigger=inngest.TriggerCron(cron="0 9 * * *"))
async def daily_health_check(ctx: inngest.Context) -> int:
    """Every morning: one event for each customer whose tier includes a health check."""
    customers = await ctx.step.run("load-eligible-customers", steps.load_eligible_customers)
    requests = [
        inngest.Event(
            name="customer/health_check.requested",
            # The event id of a scheduled run is its tick: the tick delivered twice is the same event.
            id=f"health-check-{customer_id}-{ctx.event.id}",
            data={"customer_id": customer_id},
        )
        for customer_id in customers
    ]
    if requests:
        await ctx.step.send_event("fan-out-health-checks", requests)
    return len(requests)


@client.create_function(
    fn_id="customer-health-check", trigger=inngest.TriggerEvent(event="customer/health_check.requested")
)
async def customer_health_check(ctx: inngest.Context) -> None:
    """One customer's share of the morning; one that fails holds up nobody else."""
    await ctx.step.run("record-health-check", steps.record_health_check, ctx.event, ctx.run_id)


# endregion D3


# region doors: what comes in beside emails of customers
@client.create_function(fn_id="record-unmatched-email", trigger=inngest.TriggerEvent(event="customer/email.unmatched"))
async def record_unmatched_email(ctx: inngest.Context) -> None:
    """An email from an address that is no customer's is a person's to answer."""
    await ctx.step.run("audit-unmatched", steps.audit_unmatched, ctx.event)


# Three hear of the same event, and fail independently.
REFUND_FAILED = inngest.TriggerEvent(event="stripe/charge.refund.failed")
DISPUTED = inngest.TriggerEvent(event="stripe/charge.dispute.created")


@client.create_function(fn_id="notify-support", trigger=[REFUND_FAILED, DISPUTED], retries=steps.RETRIES)
async def notify_support(ctx: inngest.Context) -> None:
    """Money came back, or is fought over: support hears of it."""
    await ctx.step.run("post-to-support", after_payment.notify_support, ctx.event)


@client.create_function(fn_id="record-failed-refund", trigger=REFUND_FAILED, retries=steps.RETRIES)
async def record_failed_refund(ctx: inngest.Context) -> None:
    """A refund that did not arrive stands in the audit trail."""
    await ctx.step.run("audit-failed-refund", after_payment.audit_failed_refund, ctx.event)


@client.create_function(fn_id="tell-customer-refund-failed", trigger=REFUND_FAILED, retries=steps.RETRIES)
async def tell_customer_refund_failed(ctx: inngest.Context) -> None:
    """The customer, who was told of the refund, is told of this too."""
    await ctx.step.run("write-to-customer", after_payment.tell_customer, ctx.event, ctx.attempt)


SEND_SECONDS = 5


async def send(events: Sequence[web.Event]) -> None:
    """What the doors are handed. Raises after 5 seconds at most when the engine does not take the events."""
    # The SDK tries five times within three, and waits 30 for an engine that does not answer.
    async with asyncio.timeout(SEND_SECONDS):
        ids = await client.send([inngest.Event(**event) for event in events])
    if len(ids) != len(events):
        raise RuntimeError("the engine did not take every event")


# endregion doors


# region D1: the web application
@asynccontextmanager
async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
    """When the server stops, close the database pool."""
    yield
    await db.close()


# The pages of /docs would load their scripts from another host.
app = fastapi.FastAPI(title="customer-support", lifespan=lifespan, docs_url=None, redoc_url=None)
app.include_router(health.routes)
app.include_router(web.desk.routes.router(send, dev=DEV))  # doors
app.include_router(web.webhooks.routes.router(send, dev=DEV))  # doors
inngest.fast_api.serve(
    app,
    client,
    [
        handle_customer_email,
        record_failed_email,
        daily_health_check,  # D3
        customer_health_check,  # D3
        resend_wake_ups,  # D5
        record_unmatched_email,  # doors
        notify_support,  # doors
        record_failed_refund,  # doors
        tell_customer_refund_failed,  # doors
    ],
)
for route in app.routes:
    if isinstance(route, fastapi.routing.APIRoute) and route.path == "/api/inngest":
        route.include_in_schema = False
# endregion D1
