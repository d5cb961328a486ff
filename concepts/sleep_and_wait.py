"""Concept 8: sleep and wait.

The failure: a process sleeps for three days, or asks a table again and again for a day until a person has decided. All
that time it holds memory and a connection. The first deploy ends it, and the customer, the question and the time that
was left are forgotten.

The idea: `step.sleep` and `step.wait_for_event` end the call of the function. The engine keeps the time, and nothing of
the app runs. When the time is over or the event is there, the engine calls the version that is deployed by then.

A wait hears only events that come after it has begun; an earlier event is lost. So ask for an answer beside the wait
and not before it. The same holds for two waits in a row: the event for the second must not come during the first.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

SIGNED = "concepts/sleep_and_wait.signed"
FOUND = "concepts/sleep_and_wait.investigated"
SAME_REQUEST = "async.data.request_id == event.id"


@client.create_function(fn_id="sleep-trial-series", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.trial"))
async def trial_series(ctx: inngest.Context) -> None:
    """Send three mails over the three days of a trial."""
    customer_id = str(ctx.event.data["customer_id"])
    await ctx.step.run("welcome", outside.send_mail, customer_id, "Welcome to your trial!")
    await ctx.step.sleep("first-day", timedelta(days=1))
    await ctx.step.run("tips", outside.send_mail, customer_id, "Three things to try.")
    await ctx.step.sleep("to-the-last-day", timedelta(days=2))
    await ctx.step.run("offer", outside.send_mail, customer_id, "Your trial ends today.")


async def signed(ctx: inngest.Context, role: str) -> bool:
    """Ask one role to sign this refund, and wait a day. Returns False after a no, and when nobody has answered."""
    this_role = f"async.data.role == '{role}'"
    _, answer = await ctx.group.parallel(
        (
            lambda: ctx.step.run(f"ask-{role}", outside.tell_team, f"{role}: sign refund {ctx.event.id}?"),
            lambda: ctx.step.wait_for_event(
                f"await-{role}", event=SIGNED, if_exp=f"{SAME_REQUEST} && {this_role}", timeout=timedelta(hours=24)
            ),
        )
    )
    return answer is not None and answer.data.get("approved") is True


async def pay(ctx: inngest.Context) -> str:
    """Pay the refund that the event asks for. Returns the bank's reference."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["amount_cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, ctx.event.id)


@client.create_function(fn_id="wait-refund", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.refund"))
async def refund_within_a_day(ctx: inngest.Context) -> str:
    """Pay the refund if the lead signs it within 24 hours."""
    if await signed(ctx, "lead"):
        return await pay(ctx)
    return "not paid"


@client.create_function(fn_id="wait-twice", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.large-refund"))
async def refund_with_two_signatures(ctx: inngest.Context) -> str:
    """Two waits in a row, each of a day: finance is asked only after the lead has signed."""
    if await signed(ctx, "lead") and await signed(ctx, "finance"):
        return await pay(ctx)
    return "not paid"


@client.create_function(fn_id="wait-investigate", trigger=inngest.TriggerEvent(event="concepts/sleep_and_wait.lost"))
async def investigate(ctx: inngest.Context) -> str:
    """Ask the carrier about a lost parcel. After four hours without an answer, a person takes over."""
    customer_id = str(ctx.event.data["customer_id"])
    _, found = await ctx.group.parallel(
        (
            lambda: ctx.step.run("ask-carrier", outside.ask_carrier, customer_id),
            lambda: ctx.step.wait_for_event(
                "await-carrier", event=FOUND, if_exp=SAME_REQUEST, timeout=timedelta(hours=4)
            ),
        )
    )
    if found is None:
        await ctx.step.run("escalate", outside.tell_team, f"The carrier is silent about {customer_id}")
        return "escalated"
    await ctx.step.run("tell-customer", outside.send_mail, customer_id, str(found.data["finding"]))
    return "answered"
