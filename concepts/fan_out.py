"""Concept 5: fan-out.

The failure: one function refunds, restocks and writes to the customer. The mailbox is down, the function is retried,
and in the end nothing is finished because the last thing failed. Or one loop writes to 5,000 customers: number 3,200
raises, and nobody knows who has got the letter.

The idea: one event, many runs. Each subscriber has a run with retries of its own, and fails alone. A parent that has a
thousand things to do sends a thousand events in one step, and each child's event has an id made of stable facts, so
that a parent that does it again starts nobody again.

To pass work on, `step.invoke` waits for the result of the other function; `step.send_event` does not wait.

At most 5,000 events go into one call; beyond that, one step for each 5,000. The official dev server
(seen with inngest 0.5.19) takes the first of 5,001 and answers with an error: the step fails, however often it tries.
"""

import inngest

from concepts import outside
from concepts.shelf import client

CANCELLED = inngest.TriggerEvent(event="concepts/fan_out.order_cancelled")


@client.create_function(fn_id="fan-out-refund-order", trigger=CANCELLED)
async def refund_order(ctx: inngest.Context) -> None:
    """The first of three subscribers."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    await ctx.step.run("pay", outside.pay, order_id, cents, f"cancelled-{order_id}")


@client.create_function(fn_id="fan-out-restock", trigger=CANCELLED)
async def restock(ctx: inngest.Context) -> None:
    """The second."""
    await ctx.step.run("tell-team", outside.tell_team, f"restock {ctx.event.data['order_id']}")


@client.create_function(fn_id="fan-out-confirm", trigger=CANCELLED)
async def confirm(ctx: inngest.Context) -> None:
    """The third."""
    await ctx.step.run("write", outside.send_mail, str(ctx.event.data["customer_id"]), "Your order is cancelled.")


async def subscribers(count: int) -> list[str]:
    """Whom the letter is for: any number of customers."""
    return [f"cust_{number:05}" for number in range(count)]


@client.create_function(fn_id="fan-out-send-letter", trigger=inngest.TriggerEvent(event="concepts/fan_out.letter"))
async def send_letter(ctx: inngest.Context) -> int:
    """The parent: one step that sends an event for each child."""
    letter, count = str(ctx.event.data["letter"]), int(str(ctx.event.data["count"]))
    customers = await ctx.step.run("load-subscribers", subscribers, count)
    data = [{"letter": letter, "customer_id": customer} for customer in customers]
    events = [inngest.Event(name=COPY, id=f"{letter}-{each['customer_id']}", data=each) for each in data]
    await ctx.step.send_event("fan-out", events)
    return len(events)


COPY = "concepts/fan_out.copy"


@client.create_function(fn_id="fan-out-send-copy", trigger=inngest.TriggerEvent(event=COPY))
async def send_copy(ctx: inngest.Context) -> None:
    """A child. The one thing it does needs no step: the run is repeated as a whole or not at all."""
    await outside.send_mail(str(ctx.event.data["customer_id"]), str(ctx.event.data["letter"]))


@client.create_function(
    fn_id="fan-out-investigate", trigger=inngest.TriggerEvent(event="concepts/fan_out.investigation")
)
async def investigate(ctx: inngest.Context) -> str:
    """Does the work that others pass on."""
    return await ctx.step.run("investigate", outside.ask_model, f"What happened to {ctx.event.data['order_id']}?")


@client.create_function(fn_id="fan-out-ask-and-wait", trigger=inngest.TriggerEvent(event="concepts/fan_out.question"))
async def ask_and_wait(ctx: inngest.Context) -> str:
    """Needs the finding: invoke. While it waits it holds no process and no slot."""
    return await ctx.step.invoke("investigate", function=investigate, data={"order_id": ctx.event.data["order_id"]})


@client.create_function(fn_id="fan-out-pass-on", trigger=inngest.TriggerEvent(event="concepts/fan_out.hint"))
async def pass_on(ctx: inngest.Context) -> str:
    """Does not need it: send an event, and be done."""
    data = {"order_id": ctx.event.data["order_id"]}
    wanted = inngest.Event(name="concepts/fan_out.investigation", id=f"hint-{ctx.event.id}", data=data)
    await ctx.step.send_event("pass-on", wanted)
    return "passed on"
