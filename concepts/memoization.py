"""Concept 7: memoization, and what is not remembered.

The failure: the model is called between two steps. The run looks right, but every later call of the function pays the
model again and gets another answer. The customer is sent one reply, and the team is told another.

The idea: the engine remembers what steps return, and nothing else. Everything outside a step runs again at every call
of the function: once for each step, and once more for each retry. So whatever costs money, changes something or gives
a different result each time belongs inside a step: a model, a clock, a random number.

The engine finds a result by the step's name. The SDK numbers a repeated name ("remind", "remind:1", "remind:2" in
inngest 0.5.19), so in a loop a name stands for a position in the list. If a deploy changes the order of the list while
a run is under way, the positions belong to other customers. Put the customer's id into the step's name instead.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

ORDER = ["cust_001", "cust_002", "cust_003"]
PAUSE = timedelta(seconds=3)


@client.create_function(fn_id="memoization-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.between"))
async def between_steps(ctx: inngest.Context) -> str:
    """The failure: the model is called between the steps."""
    customer_id = str(ctx.event.data["customer_id"])
    customer = await ctx.step.run("look-up-customer", outside.look_up, customer_id)
    reply = await outside.ask_model(f"Greet a {customer['tier']} customer.")
    await ctx.step.run("send-reply", outside.send_mail, customer_id, reply)
    await ctx.step.run("tell-team", outside.tell_team, reply)
    return reply


@client.create_function(fn_id="memoization-cure", trigger=inngest.TriggerEvent(event="concepts/memoization.inside"))
async def inside_a_step(ctx: inngest.Context) -> str:
    """The cure: the same function with the model inside a step."""
    customer_id = str(ctx.event.data["customer_id"])
    customer = await ctx.step.run("look-up-customer", outside.look_up, customer_id)
    reply = await ctx.step.run("write-reply", outside.ask_model, f"Greet a {customer['tier']} customer.")
    await ctx.step.run("send-reply", outside.send_mail, customer_id, reply)
    await ctx.step.run("tell-team", outside.tell_team, reply)
    return reply


@client.create_function(fn_id="memoization-loop-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.loop"))
async def one_name_for_all(ctx: inngest.Context) -> None:
    """The failure: this is right only as long as nobody changes ORDER while a run pauses."""
    for customer_id in ORDER:
        await ctx.step.run("remind", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep("pause", PAUSE)


@client.create_function(fn_id="memoization-loop", trigger=inngest.TriggerEvent(event="concepts/memoization.names"))
async def a_name_for_each(ctx: inngest.Context) -> None:
    """The cure: every customer is reminded once, whatever happens to the order."""
    for customer_id in ORDER:
        await ctx.step.run(f"remind-{customer_id}", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep(f"pause-{customer_id}", PAUSE)
