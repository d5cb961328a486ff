"""Concept 6: step.run.

The failure: the process dies after the fourth of five things. Starting it again looks up the customer again, pays the
model again and, if the reply was sent just before, writes to the customer twice.

The idea: each thing is a step. After every step the engine calls the function again from its beginning and gives it the
results so far. A finished step returns its remembered result without running its body again, in this process or in
another one. Only the step that was running when the process died runs again, so give a step that changes something a
key of its own (concept 4).
"""

import inngest

from concepts import outside
from concepts.shelf import client


async def write_reply(email: str, tier: str) -> str:
    """Ask the model for an answer. This is the step that costs money."""
    return await outside.ask_model(f"{tier} customer writes: {email}")


@client.create_function(fn_id="answer-in-five-steps", trigger=inngest.TriggerEvent(event="concepts/steps.email"))
async def answer_in_five_steps(ctx: inngest.Context) -> str:
    """The cure: five things, five steps."""
    customer_id, email = str(ctx.event.data["customer_id"]), str(ctx.event.data["email_text"])
    customer = await ctx.step.run("look-up-customer", outside.look_up, customer_id)
    await ctx.step.run("announce", outside.tell_team, f"{customer_id} has written")
    reply = await ctx.step.run("write-reply", write_reply, email, customer["tier"])
    await ctx.step.run("send-reply", outside.send_mail, customer_id, reply)
    await ctx.step.run("close", outside.tell_team, f"{customer_id} has an answer")
    return reply


@client.create_function(fn_id="answer-in-one-piece-wrong", trigger=inngest.TriggerEvent(event="concepts/steps.piece"))
async def answer_in_one_piece(ctx: inngest.Context) -> str:
    """The failure: the same five things without steps. When one fails, all those before it are done again."""
    customer_id, email = str(ctx.event.data["customer_id"]), str(ctx.event.data["email_text"])
    customer = await outside.look_up(customer_id)
    await outside.tell_team(f"{customer_id} has written")
    reply = await write_reply(email, customer["tier"])
    await outside.send_mail(customer_id, reply)
    await outside.tell_team(f"{customer_id} has an answer")
    return reply
