"""Concept 4: idempotency.

The failure: the customer clicks twice, the shop sends its notice again, the process dies right after the bank has paid.
Each time the refund is wanted once more, and each time it is paid once more.

The idea: whatever must happen once has a name made of stable facts, the order here, and every place where it could
happen again asks for that name. There are three places, and each covers what the others cannot:

- the event's id: the same id again starts no second run of the same function, for 24 hours;
- the function's `idempotency`: whoever wants it and whatever their event ids are, one run per value for 24 hours;
- the provider's own key: for the day after, and for the process that dies after the payment and before the engine has
  stored the step, so that the step runs again.

A key made of a clock or a random number is a new name each time, and so no key at all.
"""

import time

import inngest

from concepts import outside
from concepts.shelf import client

REFUND = "concepts/idempotency.refund"
REFUND_WRONG = "concepts/idempotency.refund_wrong"


async def ask_refund(order_id: str, cents: int) -> None:
    """Want the refund of an order, however often: it is one event."""
    await client.send(inngest.Event(name=REFUND, id=f"refund-{order_id}", data={"order_id": order_id, "cents": cents}))


async def ask_refund_wrong(order_id: str, cents: int) -> None:
    """Do not copy: the id changes with every call, so that it names nothing."""
    event_id = f"refund-{order_id}-{time.time_ns()}"
    await client.send(inngest.Event(name=REFUND_WRONG, id=event_id, data={"order_id": order_id, "cents": cents}))


@client.create_function(fn_id="idempotency-pay-refund", trigger=inngest.TriggerEvent(event=REFUND))
async def pay_refund(ctx: inngest.Context) -> str:
    """The bank is given the order as its key: asked again, it answers with the payment it has made."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, f"refund-{order_id}")


@client.create_function(fn_id="idempotency-pay-refund-wrong", trigger=inngest.TriggerEvent(event=REFUND_WRONG))
async def pay_refund_wrong(ctx: inngest.Context) -> str:
    """Do not copy: a key that is new at every attempt protects from nothing."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, f"refund-{order_id}-{time.time_ns()}")


@client.create_function(
    fn_id="idempotency-apologize",
    trigger=inngest.TriggerEvent(event="concepts/idempotency.delay_noticed"),
    idempotency="event.data.order_id",
)
async def apologize(ctx: inngest.Context) -> None:
    """Carrier, warehouse and shop each notice the delay and send events of their own: one apology per order."""
    await ctx.step.run("apologize", outside.send_mail, str(ctx.event.data["customer_id"]), "We are sorry.")
