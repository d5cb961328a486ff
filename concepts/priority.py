"""Concept 12: priority and fairness.

The failure: at nine in the morning a free customer's import sends 500 emails. The enterprise customer, who writes a
minute later, is number 501, and everybody else behind it waits as well.

The idea: two different tools. Priority is a head start in seconds: an enterprise run counts as 120 seconds older than
it is, so it overtakes what came in during the last two minutes, and nobody waits for ever behind it. A concurrency
key is a tenant's share: no tenant, whatever its priority, ever holds more than its slots, and the next free slot goes
to somebody else. Priority alone lets one enterprise tenant take every slot; a share alone treats all tiers the same.

A head start may be 600 seconds at most, and -600 at least; among equals the engine promises no order.
"""

import inngest

from concepts import outside
from concepts.shelf import client

HEAD_START_SECONDS = "event.data.tier == 'enterprise' ? 120 : event.data.tier == 'pro' ? 60 : 0"


@client.create_function(
    fn_id="answer-by-tier",
    trigger=inngest.TriggerEvent(event="concepts/priority.email"),
    priority=inngest.Priority(run=HEAD_START_SECONDS),
    concurrency=[inngest.Concurrency(limit=1)],
)
async def answer_by_tier(ctx: inngest.Context) -> None:
    """One desk, three tiers in one queue."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["tier"])


@client.create_function(
    fn_id="answer-in-fair-shares",
    trigger=inngest.TriggerEvent(event="concepts/priority.shared-email"),
    priority=inngest.Priority(run=HEAD_START_SECONDS),
    concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=2, key="event.data.customer_id")],
)
async def answer_in_fair_shares(ctx: inngest.Context) -> None:
    """Four desks; the tier decides who is next, and no tenant sits at more than two of them."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["tier"])
