"""Concept 7: memoization, and what is not remembered.

The failure: the model is called between two steps. The run looks right, yet each later call of the function pays the
model again and hears another answer: the customer is sent one reply and the file holds another.

The idea: the engine remembers what steps return, and nothing else. Everything outside a step runs again at every call
of the function: once for each step, and once more for each retry. So whatever costs, changes or acts, be it a model, a
clock or a random number, belongs inside a step.

The memory goes by the step's name. A name that is used again is counted up (seen in inngest 0.5.19: "remind",
"remind:1", "remind:2"), so in a loop it stands for a place in the list. Deploy another order while a run is under way,
and the places belong to other customers. Name the step after what it is about, and the order does not matter.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

ORDER = ["cust_001", "cust_002", "cust_003"]
PAUSE = timedelta(seconds=3)


@client.create_function(fn_id="memoization-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.between"))
async def between_steps(ctx: inngest.Context) -> str:
    """The failure: the model stands between the steps."""
    customer_id = str(ctx.event.data["customer_id"])
    customer = await ctx.step.run("look-up-customer", outside.look_up, customer_id)
    reply = await outside.ask_model(f"Greet a {customer['tier']} customer.")
    await ctx.step.run("send-reply", outside.send_mail, customer_id, reply)
    await ctx.step.run("tell-team", outside.tell_team, reply)
    return reply


@client.create_function(fn_id="memoization-cure", trigger=inngest.TriggerEvent(event="concepts/memoization.inside"))
async def inside_a_step(ctx: inngest.Context) -> str:
    """The same with the model inside a step."""
    customer_id = str(ctx.event.data["customer_id"])
    customer = await ctx.step.run("look-up-customer", outside.look_up, customer_id)
    reply = await ctx.step.run("write-reply", outside.ask_model, f"Greet a {customer['tier']} customer.")
    await ctx.step.run("send-reply", outside.send_mail, customer_id, reply)
    await ctx.step.run("tell-team", outside.tell_team, reply)
    return reply


@client.create_function(fn_id="memoization-loop-wrong", trigger=inngest.TriggerEvent(event="concepts/memoization.loop"))
async def one_name_for_all(ctx: inngest.Context) -> None:
    """Right as long as nobody touches ORDER while a run pauses."""
    for customer_id in ORDER:
        await ctx.step.run("remind", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep("pause", PAUSE)


@client.create_function(fn_id="memoization-loop", trigger=inngest.TriggerEvent(event="concepts/memoization.names"))
async def a_name_for_each(ctx: inngest.Context) -> None:
    """Every customer once, in whatever order."""
    for customer_id in ORDER:
        await ctx.step.run(f"remind-{customer_id}", outside.send_mail, customer_id, "Your trial ends soon.")
        await ctx.step.sleep(f"pause-{customer_id}", PAUSE)
