"""The app for `offline/bench.py`: the worker's, and beside it one whose function has three steps that do nothing."""

import inngest
import inngest.fast_api

from inngest_app import app, client

yardstick = inngest.Inngest(app_id="bench", is_production=client.is_production)
finished = 0


async def nothing() -> None:
    """Do nothing. Each step runs this."""


@yardstick.create_function(fn_id="three-steps", trigger=inngest.TriggerEvent(event="bench/three-steps"))
async def three_steps(ctx: inngest.Context) -> None:
    """Run three steps. What follows them runs once, in the call that ends the run."""
    global finished  # noqa: PLW0603
    for number in range(3):
        await ctx.step.run(f"step-{number}", nothing)
    finished += 1


@app.get("/bench/finished")
async def count_finished() -> int:
    """Return how many runs have ended."""
    return finished


inngest.fast_api.serve(app, yardstick, [three_steps], serve_path="/api/bench")
