"""Concept 11: concurrency and throttle.

The failure: a newsletter goes out, and 1,000 customers answer within a minute. A thousand calls to the model start at
once, and its provider refuses most of them. The retries come on top, and whoever wrote first still has no answer.

The idea: the engine keeps the queue. Concurrency limits how many steps run at the same time, which protects what has a
number of places, such as a pool of connections. Throttle limits how many runs start in a period, which protects what
has a rate, such as 30 requests a minute. Both delay runs and drop none. Concurrency with a key counts for each value of
the key, so one loud customer cannot take every place. A function may have two concurrency limits, not more. What drops
or merges events instead is in `surplus.py`.

The course says that concurrency counts runs and that the dev server ignores the throttle. It counts steps that run: a
run that sleeps or waits holds no place. And the dev server of November 2026 does throttle: of a burst under "100 a
minute" it starts 101 runs at once and then one every 0.6 seconds, since the limit does not start anew with a minute.

The course puts these limits on `customer-support-conversation`. That function is concept 6's, so here they have one of
their own, with an event of its own.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client


@client.create_function(
    fn_id="customer-support-conversation-limited",
    trigger=inngest.TriggerEvent(event="concepts/flow_control.email"),
    concurrency=[inngest.Concurrency(limit=10), inngest.Concurrency(limit=2, key="event.data.customer_id")],
    throttle=inngest.Throttle(limit=100, period=timedelta(minutes=1)),
)
async def handle_email(ctx: inngest.Context) -> None:
    """Ten answers are written at a time, at most two of them to one customer; a hundred runs start in a minute."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["number"])


@client.create_function(
    fn_id="conversation-without-limits-wrong", trigger=inngest.TriggerEvent(event="concepts/flow_control.unlimited")
)
async def handle_email_wrong(ctx: inngest.Context) -> None:
    """The failure: as many answers are written at once as emails have come."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["number"])
