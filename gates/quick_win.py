"""The Quick Win: a greeting, a sleep of fifteen seconds and a farewell, seen to run and seen to break."""

from gates import contract
from gates.engine import Function
from gates.report import Advice
from gates.spans import Step
from gates.world import World, completed, states, step_attempts, step_names

TITLE = "A function that greets, sleeps and says goodbye"
NOT_COMPLETED = Advice("the run failed or hangs: open it in the dashboard", "greet")
NOT_STEPS = Advice("what is not in ctx.step.run is no step; the sleep is ctx.step.sleep, not asyncio's", "steps")
TOO_SHORT = Advice("the sleep is timedelta(seconds=15); a bare 15 is milliseconds", "sleep_and_wait")
NOTHING_RETURNED = Advice("the function returns the greeting and the farewell, as a dict or a text", "greet")
NOT_BROKEN = Advice(
    "let the farewell step raise an error, send demo/greet, and wait for its second attempt; then repair it", "greet"
)


async def check(world: World) -> None:
    """Greet somebody and look at the run; then look for a run that the learner broke on purpose."""
    greeters = await world.functions_on(contract.GREET)
    if not greeters:
        return
    event = await world.send(contract.GREET, {"name": "Sara"}, "greet")
    await world.pass_time(seconds=2)
    await world.pass_time(seconds=contract.SLEEP_SECONDS + 1)
    runs = await world.ended(event, contract.SLEEP_SECONDS * 2 + world.build.patience)
    report = world.report
    report.check("demo/greet leads to a run that completes", states(runs), completed(runs), NOT_COMPLETED)
    steps = await world.steps(runs)
    kinds = [step.op for step in steps]
    if report.check("a step, a sleep, a step", step_names(steps), kinds == ["RUN", "SLEEP", "RUN"], NOT_STEPS):
        slept = seconds_between(steps[0], steps[2])
        report.check("it sleeps fifteen seconds", f"{slept:.0f} s", slept >= contract.SLEEP_SECONDS - 1, TOO_SHORT)
    # The output may be there a moment after the end.
    runs = await world.until(lambda: world.engine.runs_of(event), lambda found: bool(found and found[0].output), 3)
    output = next((run.output for run in runs), None)
    report.check("and returns both texts", str(output)[:100], bool(output), NOTHING_RETURNED)
    broken = await broken_on_purpose(world, greeters)
    report.check(
        "broken on purpose: one attempt of the first step beside many of the second",
        step_attempts(broken) if broken else "no such run yet",
        bool(broken),
        NOT_BROKEN,
    )


def seconds_between(first: Step, second: Step) -> float:
    """How long it was from the end of one step to the beginning of another; a sleep's own span may never end."""
    ended = first.attempts[-1].ended
    return (second.attempts[0].started - ended).total_seconds() if ended else 0


async def broken_on_purpose(world: World, greeters: list[Function]) -> list[Step]:
    """The steps of the newest run whose first step was done once and whose last one failed; empty if there is none."""
    for greeter in greeters:
        for run in await world.engine.all_runs(greeter):
            work = await world.work_steps([run])
            if len(work) > 1 and len(work[0].attempts) == 1 and work[-1].failures:
                return work
    return []
