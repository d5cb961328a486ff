"""D2: the agent's run is one durable step."""

from gates import contract
from gates.d1 import QUESTION
from gates.report import Advice
from gates.world import World, states, told

TITLE = "The costly part runs once"
AUDIT_STEPS = 2


async def check(world: World) -> None:
    """Between what is received and what is sent there is a step, and it is done once."""
    if not await world.functions_on(contract.EMAIL):
        return
    runs = await world.ended(
        await world.send(contract.EMAIL, {"customer_id": "cust_001", "email_text": QUESTION}, "agent")
    )
    if not world.report.check(
        "an email is answered", states(runs), [run.status for run in runs] == ["COMPLETED"],
        Advice("the run failed or hangs: `python -m gates d1` first", "steps"),
    ):  # fmt: skip
        return
    steps = [step for step in await world.engine.steps(runs[0].id) if step.op == "RUN"]
    world.report.check(
        "the agent runs in a step of its own, between the audit steps", ", ".join(step.name for step in steps),
        len(steps) > AUDIT_STEPS,
        Advice("outside a step the model is asked, and paid, at every call of the function", "memoization"),
    )  # fmt: skip
    world.report.check(
        "every step was done at the first attempt", told({step.name: len(step.attempts) for step in steps}),
        all(len(step.attempts) == 1 for step in steps),
        Advice("the agent's step returns something that is no JSON, or the model was away", "ai_calls"),
    )  # fmt: skip
