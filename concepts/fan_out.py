"""Concept 5: fan-out.

The failure: one function tells support, scores the risk and posts to Slack. Slack is down, so the whole function is
retried and at last fails, because of the last of three things. Or one loop checks 5,000 customers: number 3,200 raises
an error, and nobody knows who has been checked.

The idea: one event starts many runs. Each subscriber of the event has its own run with its own retries, and fails
alone. A parent with a thousand things to do sends a thousand events in one step. Each child's event has an id made of
stable facts, so that a parent that runs again starts no child again; the day is the caller's, never today's date. Runs
of different functions never wait for each other. Those of one function do, if its concurrency is limited (concept 11).

To hand work to another function, `step.invoke` waits for its result and `step.send_event` does not. Both remember that
they were done; a bare `client.send` between two steps is repeated at every call of the function.

Send at most 5,000 events in one step, and use several steps for more. Given 5,001, the official dev server (seen with
inngest 0.5.19) takes the first 5,000 and returns an error, so the step fails however often it is retried.
"""

import inngest

from concepts import outside
from concepts.cron import HEALTH_CHECK
from concepts.shelf import client
from concepts.webhooks import REFUND_FAILED

ON_REFUND_FAILED = inngest.TriggerEvent(event=REFUND_FAILED)


@client.create_function(fn_id="refund-failed-notify-support", trigger=ON_REFUND_FAILED)
async def notify_support(ctx: inngest.Context) -> dict[str, str]:
    """The first of three subscribers drafts a letter to the customer."""
    await ctx.step.run("draft", outside.ask_model, f"Explain that the refund of {ctx.event.data['charge_id']} failed")
    return {"status": "drafted"}


@client.create_function(fn_id="refund-failed-update-risk-score", trigger=ON_REFUND_FAILED)
async def update_risk_score(ctx: inngest.Context) -> dict[str, float]:
    """The second subscriber stores what the failure says about the customer."""
    await ctx.step.run("store-score", outside.store, {f"risk-{ctx.event.data['charge_id']}": 0.42})
    return {"new_risk_score": 0.42}


@client.create_function(fn_id="refund-failed-post-slack", trigger=ON_REFUND_FAILED)
async def post_to_slack(ctx: inngest.Context) -> None:
    """The third subscriber posts to the team's channel."""
    await ctx.step.run("post", outside.tell_team, f"#refunds: {ctx.event.data['charge_id']} came back")


@client.create_function(fn_id="fan-out-health-checks", trigger=inngest.TriggerEvent(event="concepts/fan_out.day_began"))
async def fan_out_per_customer_events(ctx: inngest.Context) -> int:
    """The parent: one step sends an event for each child."""
    run_day = ctx.event.data["run_day"]
    events = []
    for number in range(int(str(ctx.event.data["customers"]))):
        customer_id = f"cust_{number:05}"
        data = {"customer_id": customer_id}
        events.append(inngest.Event(name=HEALTH_CHECK, id=f"daily-health-{customer_id}-{run_day}", data=data))
    await ctx.step.send_event("fan-out", events)
    return len(events)


@client.create_function(fn_id="customer-health-check", trigger=inngest.TriggerEvent(event=HEALTH_CHECK))
async def customer_health_check(ctx: inngest.Context) -> None:
    """The child. It does one thing, which needs no step: a retry of the run repeats that one thing and no other."""
    await outside.check_health(str(ctx.event.data["customer_id"]))


INVESTIGATION = inngest.TriggerEvent(event="concepts/fan_out.investigation")


@client.create_function(fn_id="fan-out-investigate", trigger=INVESTIGATION)
async def investigate(ctx: inngest.Context) -> str:
    """Find out what happened to an order. The next two functions hand this work over."""
    return await ctx.step.run("investigate", outside.ask_model, f"What happened to {ctx.event.data['order_id']}?")


@client.create_function(fn_id="fan-out-ask-and-wait", trigger=inngest.TriggerEvent(event="concepts/fan_out.question"))
async def ask_and_wait(ctx: inngest.Context) -> str:
    """This one needs the finding, so it invokes. While it waits, it takes up no process and no concurrency slot."""
    return await ctx.step.invoke("investigate", function=investigate, data={"order_id": ctx.event.data["order_id"]})


@client.create_function(fn_id="fan-out-pass-on", trigger=inngest.TriggerEvent(event="concepts/fan_out.hint"))
async def pass_on(ctx: inngest.Context) -> str:
    """This one does not need the finding, so it sends an event and ends."""
    data = {"order_id": ctx.event.data["order_id"]}
    wanted = inngest.Event(name=INVESTIGATION.event, id=f"hint-{ctx.event.id}", data=data)
    await ctx.step.send_event("pass-on", wanted)
    return "passed on"
