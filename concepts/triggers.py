"""Beside the concepts: several triggers on one function.

The failure: the same work is wanted when a customer signs up, when a plan changes, and every Monday for customers who
were missed. It is copied into three functions, and a bug in it is repaired in two. The function for plan changes also
runs for a "change" from pro to pro, which costs money and does nothing.

The idea: one function has a list of triggers. The engine evaluates a trigger's expression before it starts a run, so an
event that is turned away costs nothing. `ctx.event.name` says what started the run. A cron tick carries no data, and an
invocation by hand need not either, so the run must not expect any. Retries, concurrency and the rest are written once
and hold for every trigger.

A field that the event lacks compares as null (seen on the dev server of November 2026), so an event that does not name
the old plan counts as a change. Compare only fields that the sender always writes.
"""

import inngest

from concepts import outside
from concepts.shelf import client

SIGNED_UP = "concepts/triggers.signed_up"
PLAN_CHANGED = "concepts/triggers.plan_changed"
# Stands for a query of the database, which would be a step.
EVERYBODY = ["cust_001", "cust_002", "cust_003"]


@client.create_function(
    fn_id="triggers-refresh-profile",
    trigger=[
        inngest.TriggerEvent(event=SIGNED_UP),
        inngest.TriggerEvent(event=PLAN_CHANGED, expression="event.data.plan != event.data.old_plan"),
        inngest.TriggerCron(cron="0 6 * * 1"),
    ],
)
async def refresh_profile(ctx: inngest.Context) -> list[str]:
    """Refresh the customer that the event names, or on Mondays and by hand everybody. Returns the refreshed ids."""
    customers = EVERYBODY
    if ctx.event.name in (SIGNED_UP, PLAN_CHANGED):
        customers = [str(ctx.event.data["customer_id"])]
    for customer_id in customers:
        await ctx.step.run(f"refresh-{customer_id}", outside.look_up, customer_id)
    return customers
