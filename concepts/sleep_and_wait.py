"""Concept 8: sleep and wait.

The failure: a process sleeps for three days, or polls a table for a day, until somebody has decided. It holds memory
and a connection meanwhile, and the first deploy forgets the customer, the question and how long was left.

The idea: `step.sleep` and `step.wait_for_event` end the call of the function. The engine keeps the time, nothing of the
app runs, and when the time has come or the event is there it calls whatever version is deployed by then.

A wait hears only what comes after it has begun (an earlier event is lost), so whoever answers is asked beside the wait,
not before it. The same with two waits in a row: what the second waits for must not come during the first.
"""

from datetime import timedelta
from functools import partial
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

SIGNED = "concepts/sleep_and_wait.signed"
FOUND = "concepts/sleep_and_wait.investigated"


@client.create_function(fn_id="sleep-trial-series", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.trial"))
async def trial_series(ctx: inngest.Context) -> None:
    """Three mails in the three days of a trial."""
    customer_id = str(ctx.event.data["customer_id"])
    await ctx.step.run("welcome", outside.send_mail, customer_id, "Welcome to your trial!")
    await ctx.step.sleep("first-day", timedelta(days=1))
    await ctx.step.run("tips", outside.send_mail, customer_id, "Three things to try.")
    await ctx.step.sleep("to-the-last-day", timedelta(days=2))
    await ctx.step.run("offer", outside.send_mail, customer_id, "Your trial ends today.")


async def signature(ctx: inngest.Context, role: str) -> Any:
    """Ask somebody to sign this run's refund, and wait a day. Returns the event's data, or None."""
    ask = partial(ctx.step.run, f"ask-{role}", outside.tell_team, f"{role}: sign refund {ctx.event.id}?")
    wait = partial(
        ctx.step.wait_for_event,
        f"await-{role}",
        event=SIGNED,
        if_exp=f"async.data.request_id == event.id && async.data.role == '{role}'",
        timeout=timedelta(hours=24),
    )
    steps: tuple[partial[Any], ...] = (ask, wait)
    _, signed = await ctx.group.parallel(steps)
    return signed.data if signed else None


@client.create_function(fn_id="wait-refund", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.refund"))
async def refund_within_a_day(ctx: inngest.Context) -> str:
    """A refund of up to 24 hours' patience: paid when the lead has signed, and not without."""
    return await pay_if(ctx, await signature(ctx, "lead"))


@client.create_function(fn_id="wait-twice", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.large-refund"))
async def refund_with_two_signatures(ctx: inngest.Context) -> str:
    """Two waits in sequence, a day each: finance is asked when the lead has signed."""
    lead = await signature(ctx, "lead")
    return await pay_if(ctx, lead and await signature(ctx, "finance"))


async def pay_if(ctx: inngest.Context, signed: Any) -> str:
    """Pay what the event asks for, if it was signed."""
    if not signed or signed["approved"] is not True:
        return "not paid"
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["amount_cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, ctx.event.id)


@client.create_function(fn_id="wait-investigate", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.lost"))
async def investigate(ctx: inngest.Context) -> str:
    """The carrier looks for a parcel. After four hours of silence a person takes over."""
    customer_id = str(ctx.event.data["customer_id"])
    ask = partial(ctx.step.run, "ask-carrier", outside.look_up, customer_id)
    matching = "async.data.request_id == event.id"
    wait = partial(ctx.step.wait_for_event, "await-carrier", event=FOUND, if_exp=matching, timeout=timedelta(hours=4))
    steps: tuple[partial[Any], ...] = (ask, wait)
    _, found = await ctx.group.parallel(steps)
    if found is None:
        await ctx.step.run("escalate", outside.tell_team, f"The carrier is silent about {customer_id}")
        return "escalated"
    await ctx.step.run("tell-customer", outside.send_mail, customer_id, str(found.data["finding"]))
    return "answered"
