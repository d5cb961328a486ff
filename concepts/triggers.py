"""Beside the concepts: several triggers on one function.

The failure: the same work is wanted when a customer signs up, when a plan changes, and every Monday for whoever was
missed. It is copied into three functions; the bug in it is repaired in two. And the one that does run for every event
of its name counts a "change" from pro to pro, which somebody pays for.

The idea: one function has a list of triggers. An expression on a trigger is looked at before there is a run, so what it
turns away costs nothing. What woke the run says `ctx.event.name`; a cron tick carries no data, and the run must not
expect any; neither when somebody invokes it by hand. Retries, concurrency and the rest are said once and hold for
whatever woke it.

Seen on the dev server of November 2026: a field that the event lacks compares as null, so that a change which does not
say what the plan was before counts as one. Compare only what the sender always writes.
"""

import inngest

from concepts import outside
from concepts.shelf import client

SIGNED_UP, PLAN_CHANGED = "concepts/triggers.signed_up", "concepts/triggers.plan_changed"
# Whom Monday is about; in the worker's app this would be a query, in a step.
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
    """Refresh the profile of the customer the event is about, or on Mondays of everybody. Returns whose it was."""
    about_one = ctx.event.name in {SIGNED_UP, PLAN_CHANGED}
    whose = [str(ctx.event.data["customer_id"])] if about_one else EVERYBODY
    for customer_id in whose:
        await ctx.step.run(f"refresh-{customer_id}", outside.look_up, customer_id)
    return whose
