"""Beside the concepts: several triggers on one function.

The failure: the same work is wanted when an order is placed, when it changes and when it is cancelled. It is copied
into three functions, and a bug in it is repaired in two. The function for changes also runs for a "change" from five
items to five items, which costs money and does nothing.

The idea: one function has a list of triggers, at most ten. The engine evaluates a trigger's expression before it starts
a run, so an event that is turned away costs nothing. `ctx.event.name` says what started the run. An invocation by hand
has no such name, and a cron tick, which may stand in the list too, carries no data. Retries, concurrency and the rest
are written once and hold for every trigger.

A field that the event lacks compares as null (seen on the dev server of November 2026), so an update that does not name
the old quantity counts as a change. Compare only fields that the sender always writes.
"""

import inngest

from concepts import outside
from concepts.shelf import client

PLACED, UPDATED, CANCELLED = "order/placed", "order/updated", "order/cancelled"


@client.create_function(
    fn_id="orders/handle-update",
    trigger=[
        inngest.TriggerEvent(event=PLACED),
        inngest.TriggerEvent(event=UPDATED, expression="event.data.quantity != event.data.old_quantity"),
        inngest.TriggerEvent(event=CANCELLED),
        inngest.TriggerCron(cron="0 6 * * 1"),
    ],
)
async def handle_order_event(ctx: inngest.Context) -> str:
    """Do what the event asks for. On Mondays, and when it is invoked by hand, go through all orders."""
    order_id = str(ctx.event.data.get("order_id"))
    if ctx.event.name == PLACED:
        await ctx.step.run("process-new", outside.tell_team, f"pack {order_id}")
        return "new"
    if ctx.event.name == UPDATED:
        await ctx.step.run("process-update", outside.tell_team, f"pack {order_id} again")
        return "updated"
    if ctx.event.name == CANCELLED:
        await ctx.step.run("process-cancel", outside.tell_team, f"unpack {order_id}")
        return "cancelled"
    await ctx.step.run("process-all", outside.publish, "go through all orders")
    return "all"
