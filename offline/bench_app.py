"""The app for `offline/bench.py`: the worker's, and beside it the floor that an email's cost is compared with.

The floor is what the two SDKs cost without this project: a function of three steps, of which one runs a plain `Agent`
with the worker's tools, its instructions and its model.
"""

from pkgutil import resolve_name

import inngest
import inngest.fast_api
from agents import Agent, RunConfig, Runner

import settings
import worker
from inngest_app import app, client

yardstick = inngest.Inngest(app_id="bench", is_production=client.is_production)
plain_agent = Agent[worker.Ticket](
    name="plain", instructions=worker.INSTRUCTIONS, tools=[worker.lookup_customer, worker.issue_refund]
)
plain_config = RunConfig(
    model=settings.model(),
    model_provider=resolve_name(settings.model_provider() or "agents:MultiProvider")(),
    tracing_disabled=True,
)
finished = 0


async def nothing() -> None:
    """Do nothing."""


async def run_plain_agent(text: str, customer_id: str) -> str:
    """Let the plain agent answer an email."""
    ticket = worker.Ticket(customer_id=customer_id, run_id="floor")
    result = await Runner.run(plain_agent, text, context=ticket, run_config=plain_config)
    return str(result.final_output)


@yardstick.create_function(fn_id="floor", trigger=inngest.TriggerEvent(event="bench/floor"))
async def floor(ctx: inngest.Context) -> None:
    """Run three steps. What follows them runs once, in the call that ends the run."""
    global finished  # noqa: PLW0603
    await ctx.step.run("before", nothing)
    await ctx.step.run("agent", run_plain_agent, str(ctx.event.data["email_text"]), str(ctx.event.data["customer_id"]))
    await ctx.step.run("after", nothing)
    finished += 1


@app.get("/bench/finished")
async def count_finished() -> int:
    """Return how many runs of the floor have ended."""
    return finished


inngest.fast_api.serve(app, yardstick, [floor], serve_path="/api/bench")
