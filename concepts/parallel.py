"""Beside the concepts: parallel steps, all of them or the first.

The failure: three look-ups one after the other take the time of all three; so somebody writes asyncio.gather around the
steps. Each call of the function then begins all that have no result yet and remembers only the first to end: three
look-ups are made six times, and paid for six times.

The idea: `ctx.group.parallel` tells the engine what there is to do; it then calls once for each step, and each has its
own retries. It waits for all of them. With RACE a branch goes on as soon as its own step is done: two models are asked
and the customer has the reply of the faster one while the slower one still writes. The reply is one step with one name,
whoever wins.

Seen in inngest 0.5.19: asyncio.gather still runs three bodies six times; and RACE cancels nobody: what the slower model
costs is paid.
"""

import asyncio
from functools import partial
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

SOURCES = ("orders", "invoices", "tickets")


@client.create_function(fn_id="parallel-history", trigger=inngest.TriggerEvent(event="concepts/parallel.history"))
async def history(ctx: inngest.Context) -> list[Any]:
    """Look in three places at once."""
    customer_id = str(ctx.event.data["customer_id"])
    look_ups = (partial(ctx.step.run, place, outside.look_up, f"{customer_id}/{place}") for place in SOURCES)
    return list(await ctx.group.parallel(tuple(look_ups)))


@client.create_function(fn_id="parallel-wrong", trigger=inngest.TriggerEvent(event="concepts/parallel.gathered"))
async def gathered(ctx: inngest.Context) -> list[Any]:
    """The failure: the same with asyncio.gather."""
    customer_id = str(ctx.event.data["customer_id"])
    look_ups = (ctx.step.run(place, outside.look_up, f"{customer_id}/{place}") for place in SOURCES)
    return list(await asyncio.gather(*look_ups))


async def ask(model: str, question: str) -> str:
    """One of two models."""
    return await outside.ask_model(f"{model}: {question}")


@client.create_function(fn_id="parallel-race", trigger=inngest.TriggerEvent(event="concepts/parallel.question"))
async def race(ctx: inngest.Context) -> str:
    """Ask two models and send the reply of the first. Returns it."""
    customer_id, question = str(ctx.event.data["customer_id"]), str(ctx.event.data["question"])
    won: list[str] = []
    sent: list[str] = []

    async def branch(model: str) -> None:
        if not won:
            reply = await ctx.step.run(f"ask-{model}", ask, model, question)
            won.append(model)
            sent.append(await ctx.step.run("send-reply", send, customer_id, reply))

    branches = (partial(branch, "careful"), partial(branch, "quick"))
    await ctx.group.parallel(branches, parallel_mode=inngest.ParallelMode.RACE)
    return sent[0]


async def send(customer_id: str, reply: str) -> str:
    """Send the reply; what was sent is the step's result, so that every later call knows it."""
    await outside.send_mail(customer_id, reply)
    return reply
