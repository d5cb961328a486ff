"""The app with a yardstick beside it: a function of three steps that do nothing, served by the same process.

Run by `offline/bench.py`.
"""

import inngest
import inngest.fast_api

from inngest_app import app, client

yardstick = inngest.Inngest(app_id="bench", is_production=client.is_production)
finished = 0


async def nothing() -> None:
    """What each step does."""


@yardstick.create_function(fn_id="three-steps", trigger=inngest.TriggerEvent(event="bench/three-steps"))
async def three_steps(ctx: inngest.Context) -> None:
    """Three steps; what follows them runs once, in the call that ends the run."""
    global finished  # noqa: PLW0603
    for number in range(3):
        await ctx.step.run(f"step-{number}", nothing)
    finished += 1


@app.get("/bench/finished")
async def count_finished() -> int:
    """How many runs have ended."""
    return finished


inngest.fast_api.serve(app, yardstick, [three_steps], serve_path="/api/bench")
