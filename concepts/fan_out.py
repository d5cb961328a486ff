"""Concept 5: fan-out.

The failure: one function refunds, restocks and writes to the customer. The mailbox is down, so the whole function is
retried and at last fails, because of the last of three things. Or one loop writes to 5,000 customers: number 3,200
raises an error, and nobody knows who has received the letter.

The idea: one event starts many runs. Each subscriber of the event has its own run with its own retries, and fails
alone. A parent with a thousand things to do sends a thousand events in one step. Each child's event has an id made of
stable facts, so that a parent that runs again starts no child again.

To hand work to another function, `step.invoke` waits for its result and `step.send_event` does not.

Send at most 5,000 events in one step, and use several steps for more. Given 5,001, the official dev server (seen with
inngest 0.5.19) takes the first 5,000 and returns an error, so the step fails however often it is retried.
"""

import inngest

from concepts import outside
from concepts.shelf import client

CANCELLED = inngest.TriggerEvent(event="concepts/fan_out.order_cancelled")
COPY = "concepts/fan_out.copy"


@client.create_function(fn_id="fan-out-refund-order", trigger=CANCELLED)
async def refund_order(ctx: inngest.Context) -> None:
    """The first of three subscribers pays the money back."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    await ctx.step.run("pay", outside.pay, order_id, cents, f"cancelled-{order_id}")


@client.create_function(fn_id="fan-out-restock", trigger=CANCELLED)
async def restock(ctx: inngest.Context) -> None:
    """The second subscriber has the goods put back."""
    await ctx.step.run("tell-team", outside.tell_team, f"restock {ctx.event.data['order_id']}")


@client.create_function(fn_id="fan-out-confirm", trigger=CANCELLED)
async def confirm(ctx: inngest.Context) -> None:
    """The third subscriber writes to the customer."""
    await ctx.step.run("write", outside.send_mail, str(ctx.event.data["customer_id"]), "Your order is cancelled.")


async def subscribers(count: int) -> list[str]:
    """Return the ids of so many customers who receive the letter."""
    return [f"cust_{number:05}" for number in range(count)]


@client.create_function(fn_id="fan-out-send-letter", trigger=inngest.TriggerEvent(event="concepts/fan_out.letter"))
async def send_letter(ctx: inngest.Context) -> int:
    """The parent: one step sends an event for each child."""
    letter, count = str(ctx.event.data["letter"]), int(str(ctx.event.data["count"]))
    customers = await ctx.step.run("load-subscribers", subscribers, count)
    events = []
    for customer_id in customers:
        data = {"letter": letter, "customer_id": customer_id}
        events.append(inngest.Event(name=COPY, id=f"{letter}-{customer_id}", data=data))
    await ctx.step.send_event("fan-out", events)
    return len(events)


@client.create_function(fn_id="fan-out-send-copy", trigger=inngest.TriggerEvent(event=COPY))
async def send_copy(ctx: inngest.Context) -> None:
    """The child. It does one thing, which needs no step: a retry of the run repeats that one thing and no other."""
    await outside.send_mail(str(ctx.event.data["customer_id"]), str(ctx.event.data["letter"]))


@client.create_function(
    fn_id="fan-out-investigate", trigger=inngest.TriggerEvent(event="concepts/fan_out.investigation")
)
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
    wanted = inngest.Event(name="concepts/fan_out.investigation", id=f"hint-{ctx.event.id}", data=data)
    await ctx.step.send_event("pass-on", wanted)
    return "passed on"
