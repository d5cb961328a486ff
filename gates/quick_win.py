"""The Quick Win: a greeting, a sleep of fifteen seconds, a farewell."""

from gates import contract
from gates.report import Advice
from gates.world import World, states, told

TITLE = "A function that greets, sleeps and says goodbye"
SLEEP_SECONDS = 15


async def check(world: World) -> None:
    """One greeting, undisturbed; and one that the learner broke."""
    greeters = await world.functions_on(contract.GREET)
    if not greeters:
        return
    event = await world.send(contract.GREET, {"name": "Ada"}, "greet")
    await world.pass_time(seconds=2)
    await world.pass_time(seconds=SLEEP_SECONDS + 1)
    runs = await world.ended(event, SLEEP_SECONDS * 2)
    world.report.check(
        "demo/greet leads to a run that completes", states(runs), [run.status for run in runs] == ["COMPLETED"],
        Advice("the run failed or hangs: open it in the dashboard", "greet"),
    )  # fmt: skip
    steps = [step for run in runs for step in await world.engine.steps(run.id)]
    kinds = [step.op for step in steps]
    world.report.check(
        "a step, a sleep, a step", ", ".join(step.name for step in steps) or "no steps",
        kinds == ["RUN", "SLEEP", "RUN"],
        Advice("what is not in ctx.step.run is no step; the sleep is ctx.step.sleep, not asyncio's", "steps"),
    )  # fmt: skip
    broken = [
        (run, seen)
        for greeter in greeters
        for run in await world.engine.newest_runs(greeter)
        for seen in [[step for step in await world.engine.steps(run.id) if step.op == "RUN"]]
        if len(seen) > 1 and len(seen[0].attempts) == 1 and seen[-1].failures
    ]
    world.report.check(
        "broken on purpose: one attempt of the first step beside many of the second",
        told({step.name: len(step.attempts) for step in broken[0][1]}) if broken else "no such run yet",
        bool(broken),
        Advice("start the app with BREAK=farewell, send demo/greet, wait for the second attempt", "greet"),
    )  # fmt: skip
