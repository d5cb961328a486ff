"""D6: the learner broke the agent's step on purpose. What the engine and the rows remember of that is looked for."""

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.rows import counted
from gates.spans import Step
from gates.world import World, step_attempts, told

TITLE = "Broken on purpose, and recovered"
NOT_BROKEN = Advice("break the agent's step, send an email, and wait until the step was tried again", "retries")
DONE_TWICE = Advice("one run wrote a row twice: its step's name is not unique, or it is no step", "idempotency")
NOT_RECOVERED = Advice("repair the step, restart the app, and send the email again under a new event id", "recovery")


async def check(world: World) -> None:
    """Find the newest run whose agent step failed again and again, and a recovery: the same run, or a newer one."""
    handlers = await world.functions_on(contract.EMAIL)
    if not handlers:
        return
    what = "a run whose first step has one attempt, and the agent's several"
    runs = await world.engine.all_runs(handlers[0])
    newer: list[Run] = []
    for run in runs:
        steps = await world.work_steps([run])
        if broken(steps):
            world.report.check(what, step_attempts(steps), True, NOT_BROKEN)
            await rows_once(world, run)
            recovered(world, run, newer)
            return
        newer.append(run)
    world.report.check(what, f"none of {len(runs)} runs", False, NOT_BROKEN)


def broken(steps: list[Step]) -> bool:
    """Whether the first step was done at once, and a later one failed and was tried again."""
    if not steps or steps[0].failures or len(steps[0].attempts) > 1:
        return False
    return any(len(step.attempts) > 1 and step.failures for step in steps[1:])


async def rows_once(world: World, run: Run) -> None:
    """No row of the broken run is there twice, if the audit table says which run wrote a row."""
    what, rows = "and its rows are there once", await world.rows.of_run(run.id)
    if not rows:
        world.report.cannot(what, "no column of the audit table names the run; one attempt of the step says the same")
        return
    counts = counted(rows)
    world.report.check(what, told(counts), max(counts.values()) == 1, DONE_TWICE)


def recovered(world: World, run: Run, newer: list[Run]) -> None:
    """The broken run has completed by itself, or one that began after it has."""
    after = [each for each in newer if each.status == "COMPLETED"]
    seen = "no run completed after it"
    if run.status == "COMPLETED":
        seen = "the same run completed"
    elif after:
        seen = f"{len(after)} newer runs completed"
    world.report.check("the work was recovered", seen, run.status == "COMPLETED" or bool(after), NOT_RECOVERED)
