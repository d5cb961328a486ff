"""Concept 4: idempotency.

The failure: the customer clicks twice, or the shop sends its notice again, or the process dies right after the bank has
paid. Each time the same refund is asked for once more, and each time it is paid once more.

The idea: delivery is promised at least once, never exactly once, so the second copy must do nothing. Whatever must
happen only once gets a name made of stable facts, here the order, and every place where it could happen again checks
that name. There are four such places, and each covers what the others cannot:

- the event's id: for 24 hours the same id starts no second run of the same function;
- the function's `idempotency`: for 24 hours it runs once per value, whoever sends the event and whatever its id is;
- the step: once its result is stored, no retry of the run does its work again;
- the provider's own key: it still holds after those 24 hours, and when the process dies after the payment but before
  the engine has stored the step's result, so that the step runs again.

A key made of a clock or a random number is different each time, so it protects from nothing. (An older revision of the
course puts a timestamp into the event's id: each click is then paid.)
"""

import time
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

Data = dict[str, Any]
REFUND_REQUESTED = "customer/refund.requested"
# Concept 8 listens to the same event, for requests that have an id and may need a person.
WITHOUT_APPROVAL = "event.data.request_id == null"


async def request_refund(order_id: str, amount_cents: int) -> None:
    """Ask for the refund of an order. However often this is called for an order, it is one event."""
    event_id = f"refund-request-{order_id}"
    data: Data = {"order_id": order_id, "amount_cents": amount_cents}
    await client.send(inngest.Event(name=REFUND_REQUESTED, id=event_id, data=data))


async def request_refund_wrong(order_id: str, amount_cents: int) -> None:
    """Do not copy this: the id is different at every call, so every call is an event of its own."""
    data: Data = {"order_id": order_id, "amount_cents": amount_cents}
    event_id = f"refund-request-{order_id}-{time.time_ns()}"
    await client.send(inngest.Event(name="concepts/idempotency.refund_wrong", id=event_id, data=data))


async def look_up_order(order_id: str) -> dict[str, str]:
    """Stands for a query of the database."""
    return {"id": order_id, "charge_id": f"charge-of-{order_id}"}


@client.create_function(
    fn_id="issue-customer-refund", trigger=inngest.TriggerEvent(event=REFUND_REQUESTED, expression=WITHOUT_APPROVAL)
)
async def issue_refund(ctx: inngest.Context) -> dict[str, str]:
    """Give the bank the order as its key. Asked again with the same key, it returns the payment it has already made."""
    amount_cents = int(str(ctx.event.data["amount_cents"]))
    order = await ctx.step.run("lookup-order", look_up_order, str(ctx.event.data["order_id"]))
    refund_id = await ctx.step.run(
        "issue-stripe-refund", outside.pay, order["id"], amount_cents, f"refund-request-{order['id']}"
    )
    await ctx.step.run("audit-refund", outside.audit, order["id"], "issued", refund_id)
    return {"refund_id": refund_id}


@client.create_function(
    fn_id="issue-customer-refund-wrong", trigger=inngest.TriggerEvent(event="concepts/idempotency.refund_wrong")
)
async def issue_refund_wrong(ctx: inngest.Context) -> str:
    """Do not copy this: the key is new at every attempt, so the bank pays at every attempt."""
    order_id, amount_cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["amount_cents"]))
    return await ctx.step.run("pay", outside.pay, order_id, amount_cents, f"refund-{order_id}-{time.time_ns()}")


@client.create_function(
    fn_id="idempotency-apologize",
    trigger=inngest.TriggerEvent(event="concepts/idempotency.delay_noticed"),
    idempotency="event.data.order_id",
)
async def apologize(ctx: inngest.Context) -> None:
    """Apologize once per order, although carrier, warehouse and shop each send an event about the same delay."""
    await ctx.step.run("apologize", outside.send_mail, str(ctx.event.data["customer_id"]), "We are sorry.")
