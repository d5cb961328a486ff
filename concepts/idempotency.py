"""Concept 4: idempotency.

The failure: the customer clicks twice, or the shop sends its notice again, or the process dies right after the bank has
paid. Each time the same refund is asked for once more, and each time it is paid once more.

The idea: whatever must happen only once gets a name made of stable facts, here the order. Every place where it could
happen again checks that name. There are three such places, and each covers what the others cannot:

- the event's id: for 24 hours the same id starts no second run of the same function;
- the function's `idempotency`: for 24 hours it runs once per value, whoever sends the event and whatever its id is;
- the provider's own key: it still holds after those 24 hours, and when the process dies after the payment but before
  the engine has stored the step's result, so that the step runs again.

A key made of a clock or a random number is different each time, so it protects from nothing.
"""

import time

import inngest

from concepts import outside
from concepts.shelf import client

REFUND = "concepts/idempotency.refund"
REFUND_WRONG = "concepts/idempotency.refund_wrong"


async def ask_refund(order_id: str, cents: int) -> None:
    """Ask for the refund of an order. However often this is called for an order, it is one event."""
    await client.send(inngest.Event(name=REFUND, id=f"refund-{order_id}", data={"order_id": order_id, "cents": cents}))


async def ask_refund_wrong(order_id: str, cents: int) -> None:
    """Do not copy this: the id is different at every call, so every call is an event of its own."""
    event_id = f"refund-{order_id}-{time.time_ns()}"
    await client.send(inngest.Event(name=REFUND_WRONG, id=event_id, data={"order_id": order_id, "cents": cents}))


@client.create_function(fn_id="idempotency-pay-refund", trigger=inngest.TriggerEvent(event=REFUND))
async def pay_refund(ctx: inngest.Context) -> str:
    """Give the bank the order as its key. Asked again with the same key, it returns the payment it has already made."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, f"refund-{order_id}")


@client.create_function(fn_id="idempotency-pay-refund-wrong", trigger=inngest.TriggerEvent(event=REFUND_WRONG))
async def pay_refund_wrong(ctx: inngest.Context) -> str:
    """Do not copy this: the key is new at every attempt, so the bank pays at every attempt."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, cents, f"refund-{order_id}-{time.time_ns()}")


@client.create_function(
    fn_id="idempotency-apologize",
    trigger=inngest.TriggerEvent(event="concepts/idempotency.delay_noticed"),
    idempotency="event.data.order_id",
)
async def apologize(ctx: inngest.Context) -> None:
    """Apologize once per order, although carrier, warehouse and shop each send an event about the same delay."""
    await ctx.step.run("apologize", outside.send_mail, str(ctx.event.data["customer_id"]), "We are sorry.")
