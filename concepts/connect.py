"""Beside the concepts: Connect, a worker without an inbound port.

The failure: the customers' database is inside the company's network, so the worker has to be there too. The engine
outside calls the worker over HTTP. For that somebody opens a port in the firewall, or sets up a tunnel that breaks down
at night. Or a proxy on the way cuts every call after a minute, so the step is retried and the model is paid again.

The idea: the worker opens a connection to the engine, keeps it, and receives its steps over it. Nobody can call the
worker, so there is no port to protect. When the worker stops, its runs wait; when it or another one connects, they go
on where they were. On SIGTERM the worker takes no new step, finishes the one it is working on, and ends.

    python -m concepts.connect

The worker has an app id of its own, because an app is either served over HTTP or connected. It needs a process that
keeps running, so a serverless platform cannot host it.
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
    """Read the database that is only in this network, think for twelve hours, and answer."""
    customer = await ctx.step.run("look-up", outside.look_up, str(ctx.event.data["customer_id"]))
    await ctx.step.sleep("think", timedelta(hours=12))
    return await ctx.step.run("answer", outside.ask_model, f"Answer a {customer['tier']} customer")


async def main() -> None:
    """Stay connected until SIGINT or SIGTERM. At most ten steps run at once, and the others wait in the engine."""
    await connect([(client, [answer_inside])], max_worker_concurrency=10).start()


if __name__ == "__main__":
    asyncio.run(main())
