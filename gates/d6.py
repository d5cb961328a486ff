"""D6: the learner broke a step and saw it heal. What the engine and the rows remember of that is looked for."""

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.spans import Step
from gates.world import World, told

TITLE = "Broken on purpose, and healed"


def healed(steps: list[Step]) -> bool:
    """Whether one step failed before it succeeded and every other was done at once."""
    ran = [step for step in steps if step.op == "RUN"]
    broken = [step for step in ran if step.failures]
    return len(broken) == 1 and all(step.status == "COMPLETED" for step in broken) and len(ran) > 1


async def check(world: World) -> None:
    """A run that healed, and that nothing was done twice in it."""
    handlers = await world.functions_on(contract.EMAIL)
    if not handlers:
        return
    found: list[tuple[Run, list[Step]]] = []
    for run in await world.engine.newest_runs(handlers[0]):
        if run.status == "COMPLETED":
            steps = await world.engine.steps(run.id)
            if healed(steps):
                found.append((run, steps))
    if not world.report.check(
        "a run in which one step failed and then succeeded",
        f"{len(found)} among the newest" if found else "none among the newest",
        bool(found),
        Advice("break the agent's step, send an email, repair it before the attempts are used up", "retries"),
    ):
        return
    run, steps = found[0]
    world.report.check(
        "only that step was tried again",
        told({step.name: len(step.attempts) for step in steps if step.op == "RUN"}),
        True,
    )
    rows = await world.rows.actions(runs=[run.id])
    world.report.check(
        "and its rows are there once", told(rows),
        "message_sent" in rows and all(count == 1 for count in rows.values()),
        Advice("rows are not keyed by run id and step id", "idempotency"),
    )  # fmt: skip
