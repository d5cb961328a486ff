"""Beside the concepts: parallel steps, all of them or the first.

The failure: three look-ups one after the other take the time of all three, so somebody writes asyncio.gather around the
steps. Each call of the function then starts every step that has no result yet, and only the first result is kept: three
look-ups are made six times and paid for six times (seen in inngest 0.5.19).

The idea: `ctx.group.parallel` tells the engine which steps there are. The engine then makes one call for each step, and
each step has its own retries. By default the function goes on when all steps are done. With RACE each branch goes on as
soon as its own step is done: two models are asked, and the customer has the faster one's reply while the slower one
still writes. RACE cancels nobody, so the slower model has to be paid too (seen in inngest 0.5.19).
"""

import asyncio

import inngest

from concepts import outside
from concepts.shelf import client

Customers = list[dict[str, str]]


@client.create_function(fn_id="parallel-history", trigger=inngest.TriggerEvent(event="concepts/parallel.history"))
async def history(ctx: inngest.Context) -> Customers:
    """Look in three places at once."""
    customer_id = str(ctx.event.data["customer_id"])
    found = await ctx.group.parallel(
        (
            lambda: ctx.step.run("orders", outside.look_up, f"{customer_id}/orders"),
            lambda: ctx.step.run("invoices", outside.look_up, f"{customer_id}/invoices"),
            lambda: ctx.step.run("tickets", outside.look_up, f"{customer_id}/tickets"),
        )
    )
    return list(found)


@client.create_function(fn_id="parallel-wrong", trigger=inngest.TriggerEvent(event="concepts/parallel.gathered"))
async def gathered(ctx: inngest.Context) -> Customers:
    """The failure: the same three steps with asyncio.gather."""
    customer_id = str(ctx.event.data["customer_id"])
    found = await asyncio.gather(
        ctx.step.run("orders", outside.look_up, f"{customer_id}/orders"),
        ctx.step.run("invoices", outside.look_up, f"{customer_id}/invoices"),
        ctx.step.run("tickets", outside.look_up, f"{customer_id}/tickets"),
    )
    return list(found)


async def ask(model: str, question: str) -> str:
    """Ask one of two models."""
    return await outside.ask_model(f"{model}: {question}")


async def send(customer_id: str, reply: str) -> str:
    """Send the reply and return it, so that every later call of the function knows which reply was sent."""
    await outside.send_mail(customer_id, reply)
    return reply


@client.create_function(fn_id="parallel-race", trigger=inngest.TriggerEvent(event="concepts/parallel.question"))
async def race(ctx: inngest.Context) -> str:
    """Ask two models, and send and return the first reply."""
    customer_id, question = str(ctx.event.data["customer_id"]), str(ctx.event.data["question"])
    answered = False

    async def ask_and_send(model: str) -> str | None:
        """Return the reply that was sent, or None if the other branch has sent it."""
        nonlocal answered
        if answered:
            return None
        reply = await ctx.step.run(f"ask-{model}", ask, model, question)
        answered = True
        # Both branches would send under this one name, so the reply is sent once, whichever model was first.
        return await ctx.step.run("send-reply", send, customer_id, reply)

    replies = await ctx.group.parallel(
        (lambda: ask_and_send("careful"), lambda: ask_and_send("quick")), parallel_mode=inngest.ParallelMode.RACE
    )
    [sent] = [reply for reply in replies if reply is not None]
    return sent
