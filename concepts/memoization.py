"""Concept 7: memoization, and what is not remembered.

The failure: something expensive is fetched between two steps. The run looks right, but every later call of the function
pays for it again and gets another answer. The customer is sent one reply, and the team is told another.

The idea: the engine remembers what steps return, under the run's id and the step's name, and nothing else. Everything
outside a step runs again at every call of the function: once for each step, and once more for each retry. So whatever
costs money, changes something or gives a different result each time belongs inside a step: a model, a clock, a random
number.

The SDK numbers a repeated name ("remind", "remind:1", "remind:2" in inngest 0.5.19; no two share a result, whatever an
older revision of the course says). So in a loop a name stands for a position in the list. If a deploy changes the order
of the list while a run is under way, the positions belong to other customers. Put the customer's id into the step's
name instead, as in `load-customer-cust_002`.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

ORDER = ["cust_001", "cust_002", "cust_003"]
PAUSE = timedelta(seconds=3)


@client.create_function(
    fn_id="fetch-outside-a-step-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.outside")
)
async def fetch_outside_a_step(ctx: inngest.Context) -> str:
    """The failure: the expensive data is fetched between the steps."""
    customer_id = str(ctx.event.data["customer_id"])
    expensive = await outside.ask_model(f"Say something to {customer_id}")
    await ctx.step.run("do-something", outside.send_mail, customer_id, expensive)
    await ctx.step.run("tell-team", outside.tell_team, expensive)
    return expensive


@client.create_function(fn_id="fetch-inside-a-step", trigger=inngest.TriggerEvent(event="concepts/memoization.inside"))
async def fetch_inside_a_step(ctx: inngest.Context) -> str:
    """The cure: the same function with the fetch in a step of its own."""
    customer_id = str(ctx.event.data["customer_id"])
    expensive = await ctx.step.run("fetch-expensive-data", outside.ask_model, f"Say something to {customer_id}")
    await ctx.step.run("do-something", outside.send_mail, customer_id, expensive)
    await ctx.step.run("tell-team", outside.tell_team, expensive)
    return expensive


@client.create_function(fn_id="one-name-for-all-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.loop"))
async def one_name_for_all(ctx: inngest.Context) -> None:
    """The failure: this is right only as long as nobody changes ORDER while a run pauses."""
    for customer_id in ORDER:
        await ctx.step.run("remind", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep("pause", PAUSE)


@client.create_function(fn_id="a-name-for-each", trigger=inngest.TriggerEvent(event="concepts/memoization.names"))
async def a_name_for_each(ctx: inngest.Context) -> None:
    """The cure: every customer is reminded once, whatever happens to the order."""
    for customer_id in ORDER:
        await ctx.step.run(f"remind-{customer_id}", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep(f"pause-{customer_id}", PAUSE)
