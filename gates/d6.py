"""D6: the learner broke the agent's step on purpose. What the engine and the rows remember of that is looked for."""

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.spans import Step
from gates.world import World, step_attempts, told

TITLE = "Broken on purpose, and recovered"
NOT_BROKEN = Advice("break the agent's step, send an email, and wait until the step was tried again", "retries")
DONE_TWICE = Advice("rows are not keyed by run id and step id", "idempotency")
NOT_RECOVERED = Advice("repair the step, restart the app, and send the email again under a new event id", "recovery")


async def check(world: World) -> None:
    """Find a run whose agent step failed again and again, and a recovery after it: the same run, or a newer one."""
    handlers = await world.functions_on(contract.EMAIL)
    if not handlers:
        return
    newest = await world.engine.newest_runs(handlers[0])
    newer: list[Run] = []
    for run in newest:
        steps = await world.work_steps([run])
        if broken(steps):
            await recovered(world, run, steps, newer)
            return
        newer.append(run)
    world.report.check(
        "a run in which one step was tried again", f"none of the {len(newest)} newest", False, NOT_BROKEN
    )


def broken(steps: list[Step]) -> bool:
    """Whether one step failed and was tried again, while every other step was done at its first attempt."""
    tried_again = [step for step in steps if len(step.attempts) > 1]
    failed = [step for step in steps if step.failures]
    return len(steps) > 1 and len(tried_again) == 1 and failed == tried_again


async def recovered(world: World, run: Run, steps: list[Step], newer: list[Run]) -> None:
    """Report on the broken run; `newer` are the runs that began after it."""
    world.report.check("a run in which one step was tried again", step_attempts(steps), True, NOT_BROKEN)
    rows = await world.rows.actions(runs=[run.id])
    once = rows.get("message_received") == 1 and all(count == 1 for count in rows.values())
    world.report.check("and its rows are there once", told(rows), once, DONE_TWICE)
    after = [each for each in newer if each.status == "COMPLETED"]
    seen = "no run completed after it"
    if run.status == "COMPLETED":
        seen = "the same run completed"
    elif after:
        seen = f"{len(after)} newer runs completed"
    world.report.check("the work was recovered", seen, run.status == "COMPLETED" or bool(after), NOT_RECOVERED)
