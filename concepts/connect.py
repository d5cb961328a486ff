"""Beside the concepts: Connect, a worker without an inbound port.

The failure: the customers' database stands inside the company's network, and so must the worker. The engine outside
calls it over HTTP: somebody opens a port in the firewall, or sets up a tunnel that falls over at night. Or a proxy on
the way cuts every call after a minute: the step is tried again, and the model paid again.

The idea: the worker dials out to the engine, keeps that connection, and is sent its steps over it. Nobody can call it,
so there is nothing to protect. When it goes, its runs wait; when it or another one dials in, they go on where they
were. On SIGTERM it takes no new step, finishes the one it is at, and goes.

    python -m concepts.connect

It has an app id of its own, because an app is either served over HTTP or connected. For long-lived processes only.
"""

import asyncio
from datetime import timedelta

import inngest
from inngest.connect import connect

import settings
from concepts import outside, shelf

client = inngest.Inngest(app_id="concepts-connect", is_production=not settings.dev_mode(), logger=shelf.client.logger)


@client.create_function(fn_id="answer-inside", trigger=inngest.TriggerEvent(event="concepts/connect.email"))
async def answer_inside(ctx: inngest.Context) -> str:
    """Look into the database that is only here, think until tomorrow, and answer."""
    customer = await ctx.step.run("look-up", outside.look_up, str(ctx.event.data["customer_id"]))
    await ctx.step.sleep("think", timedelta(hours=12))
    return await ctx.step.run("answer", outside.ask_model, f"Answer a {customer['tier']} customer")


async def main() -> None:
    """Stay connected until SIGINT or SIGTERM. As many steps at once as are given here, others wait in the engine."""
    await connect([(client, [answer_inside])], max_worker_concurrency=10).start()


if __name__ == "__main__":
    asyncio.run(main())
