"""Concept 12: priority and fairness.

The failure: at nine in the morning a free customer's import sends 500 emails. The enterprise customer who writes a
minute later is number 501, and everybody else waits behind the 500 as well.

The idea: these are two different tools. Priority is a head start in seconds. An enterprise run counts as 120 seconds
older than it is, so it overtakes what came in during the last two minutes, and nobody waits behind it for ever. A
concurrency key is a fair share: no tenant ever holds more than its slots, whatever its priority, and the next free slot
goes to another tenant. With priority alone, one enterprise tenant can take every slot. With shares alone, an enterprise
customer waits as long as a free one.

A head start is between -600 and 600 seconds. Among runs with the same head start, the engine promises no order.
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
    """One slot, and three tiers in one queue for it."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["tier"])


@client.create_function(
    fn_id="answer-in-fair-shares",
    trigger=inngest.TriggerEvent(event="concepts/priority.shared-email"),
    priority=inngest.Priority(run=HEAD_START_SECONDS),
    concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=2, key="event.data.customer_id")],
)
async def answer_in_fair_shares(ctx: inngest.Context) -> None:
    """Four slots. The tier decides who is next, and no tenant takes more than two of them."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["tier"])
