"""Concept 12: priority and fairness.

The failure: at nine in the morning a free customer's import sends 500 emails. The enterprise customer who writes a
minute later is number 501, and everybody else waits behind the 500 as well.

The idea: these are two different tools. Priority is a head start in seconds, here the number that the producer puts
into the event: 200 for enterprise, 100 for pro, 0 for free. An enterprise run counts as 200 seconds older than it is,
so it overtakes what came in during that time, and nobody waits behind it for ever. A concurrency key is a fair share:
no tenant ever holds more than its slots, whatever its priority, and the next free slot goes to another tenant. With
priority alone, one enterprise tenant can take every slot. With shares alone, an enterprise customer waits as long as a
free one.

A head start has at most 600 seconds. Among runs with the same head start the engine promises no order. The expression
must yield an integer, and every number in an event is a floating-point number: without `int()` the head start is 0, and
nothing says so. A number below zero is a delay: with -100 a run begins 100 seconds late, even if no other run waits.

The course says that only concurrency can be seen on a dev server; with a queue that is long enough, all of this can.
"""

import inngest

from concepts import outside
from concepts.shelf import client

TIER_PRIORITY = inngest.Priority(run="int(event.data.tier_priority)")


@client.create_function(
    fn_id="answer-by-tier",
    trigger=inngest.TriggerEvent(event="concepts/priority.email"),
    priority=TIER_PRIORITY,
    concurrency=[inngest.Concurrency(limit=1)],
)
async def answer_by_tier(ctx: inngest.Context) -> None:
    """One slot, and three tiers in one queue for it."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["tenant_id"]), ctx.event.data["tier_priority"])


@client.create_function(
    fn_id="answer-by-tier-wrong",
    trigger=inngest.TriggerEvent(event="concepts/priority.email-wrong"),
    priority=inngest.Priority(run="event.data.tier_priority"),
    concurrency=[inngest.Concurrency(limit=1)],
)
async def answer_by_tier_wrong(ctx: inngest.Context) -> None:
    """The head start is always 0, because the event's number is none that the engine takes."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["tenant_id"]), ctx.event.data["tier_priority"])


@client.create_function(
    fn_id="answer-in-fair-shares",
    trigger=inngest.TriggerEvent(event="concepts/priority.shared-email"),
    priority=TIER_PRIORITY,
    concurrency=[inngest.Concurrency(limit=50), inngest.Concurrency(limit=3, key="event.data.tenant_id")],
)
async def answer_in_fair_shares(ctx: inngest.Context) -> None:
    """Fifty slots. The tier decides who is next, and no tenant takes more than three of them."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["tenant_id"]), ctx.event.data["tier_priority"])
