"""The Quick Win: a greeting, a sleep of fifteen seconds and a farewell, seen to run and seen to break."""

from gates import contract
from gates.engine import Function
from gates.report import Advice
from gates.spans import Step
from gates.world import World, completed, states, step_attempts, step_names

TITLE = "A function that greets, sleeps and says goodbye"
SLEEP_SECONDS = 15
NOT_COMPLETED = Advice("the run failed or hangs: open it in the dashboard", "greet")
NOT_STEPS = Advice("what is not in ctx.step.run is no step; the sleep is ctx.step.sleep, not asyncio's", "steps")
NOT_BROKEN = Advice("start the app with BREAK=farewell, send demo/greet, wait for the second attempt", "greet")


async def check(world: World) -> None:
    """Greet somebody and look at the run; then look for a run that the learner broke on purpose."""
    greeters = await world.functions_on(contract.GREET)
    if not greeters:
        return
    event = await world.send(contract.GREET, {"name": "Ada"}, "greet")
    await world.pass_time(seconds=2)
    await world.pass_time(seconds=SLEEP_SECONDS + 1)
    runs = await world.ended(event, SLEEP_SECONDS * 2)
    world.report.check("demo/greet leads to a run that completes", states(runs), completed(runs), NOT_COMPLETED)
    steps = await world.steps(runs)
    kinds = [step.op for step in steps]
    world.report.check("a step, a sleep, a step", step_names(steps), kinds == ["RUN", "SLEEP", "RUN"], NOT_STEPS)
    broken = await broken_on_purpose(world, greeters)
    world.report.check(
        "broken on purpose: one attempt of the first step beside many of the second",
        step_attempts(broken) if broken else "no such run yet",
        bool(broken),
        NOT_BROKEN,
    )


async def broken_on_purpose(world: World, greeters: list[Function]) -> list[Step]:
    """The steps of the newest run whose first step was done once and whose last one failed; empty if there is none."""
    for greeter in greeters:
        for run in await world.engine.newest_runs(greeter):
            work = await world.work_steps([run])
            if len(work) > 1 and len(work[0].attempts) == 1 and work[-1].failures:
                return work
    return []
