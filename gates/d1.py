"""D1: the agent's whole run is one durable step of a function that is started by hand."""

from gates import contract, hook, source
from gates.engine import Function, Run
from gates.report import Advice
from gates.spans import Step
from gates.world import World, completed, reply_in, states, step_attempts, step_names

TITLE = "The agent's run is durable"
QUESTION = "Good morning. How long does shipping to Norway take?"
SETTLE_SECONDS = 3
ANOTHER = "Hello, I forgot my password. What do I have to do now?"
NOT_LISTED = Advice(
    "the engine lists no such function: call it handle-customer-email, put it into the list that is given to serve(), "
    "and start the engine with -u …/api/inngest",
    "steps",
)
NOT_COMPLETED = Advice("the run failed or hangs: open it in the dashboard, its error is there", "retries")
NOT_JSON = Advice("a step returns what is no JSON, such as the SDK's result object: return the reply's text", "steps")
OUTSIDE_A_STEP = Advice(
    "no step returned a reply: outside a step the model is asked, and paid, at every call of the function",
    "memoization",
)
NO_MODEL = Advice("two questions got the same answer: no model reads the email", "ai_calls")
FORGOTTEN = Advice(
    "what a step leaves in the process's memory is gone when the process dies: return it from the step", "memoization"
)
TRIED_AGAIN = Advice("a step fails after it did its work: what it returns is no JSON, or the model was away", "steps")


async def check(world: World) -> None:
    """Start the function by hand, with two questions, and look for the agent's step in its runs."""
    functions = await world.engine.functions()
    handler = email_handler(functions)
    what = "a function that answers emails"
    if handler is None:
        listed = ", ".join(function.id for function in functions)
        world.report.check(what, f"none among {listed}" if listed else "no functions", False, NOT_LISTED)
        return
    world.report.check(what, f"{handler.id}, woken by {', '.join(handler.triggers) or 'hand'}", True, NOT_LISTED)
    customers = await world.store()
    if not customers:
        return
    replies = []
    for question in (QUESTION, ANOTHER):
        started = await world.engine.invoke(handler, contract.email(customers[0].id, question))
        runs = await world.ended(started)
        why = why_failed(world, runs)
        if not world.report.check("started by hand, it completes", states(runs), completed(runs), why):
            return
        steps = await settled_steps(world, runs, question)
        agent = agent_step(steps, question)
        if not world.report.check("the agent runs in a step", step_names(steps), agent is not None, OUTSIDE_A_STEP):
            return
        done_at_once(world, steps)
        replies += [reply_in(agent, question)] if agent else []
    outlived(world, agent.name if agent else "")
    source.look(world, source.GATHERED, source.BLOCKS)
    first, second = replies
    world.report.check("another question gets another answer", second[:80], first != second, NO_MODEL)


def agent_step(steps: list[Step], email: str) -> Step | None:
    """The step that returned the reply; None if there is none.

    An audit step may return a few words too, so it is the first with at least half of the longest text.
    """
    longest = max((len(reply_in(step, email)) for step in steps), default=0)
    return next((step for step in steps if longest and len(reply_in(step, email)) * 2 >= longest), None)


async def settled_steps(world: World, runs: list[Run], email: str) -> list[Step]:
    """The steps of runs that have ended. What they returned may be there a moment later."""
    return await world.until(
        lambda: world.work_steps(runs), lambda steps: agent_step(steps, email) is not None, SETTLE_SECONDS
    )


def why_failed(world: World, runs: list[Run]) -> Advice:
    """The likeliest reason why a run did not complete."""
    if world.pulse.deaths:
        return FORGOTTEN
    return NOT_JSON if "nserializable" in str([run.output for run in runs]) else NOT_COMPLETED


def outlived(world: World, step: str) -> None:
    """Report whether the process died between two steps, such as after this one, of the runs that were looked at."""
    what, deaths = "its process died between two steps, and the run went on", world.pulse.deaths
    if not world.build.die_after:
        world.report.cannot(what, hook.NO_DEATH.format(step))
    elif not deaths:
        world.report.cannot(what, hook.STILL_ALIVE)
    else:
        world.report.check(what, f"{deaths} deaths after {world.build.die_after}", True, FORGOTTEN)


def email_handler(functions: list[Function]) -> Function | None:
    """The function that answers emails.

    From D2 on it is the one that an email's event wakes. Before, it is the one with the course's name, or else the only
    one that belongs to no other part of the course. None if that leaves none, or several.
    """
    for function in functions:
        if contract.EMAIL in function.triggers:
            return function
    for function in functions:
        if function.id == contract.EMAIL_HANDLER:
            return function
    rest = [function for function in functions if not any(belongs_elsewhere(trigger) for trigger in function.triggers)]
    return rest[0] if len(rest) == 1 else None


def belongs_elsewhere(trigger: str) -> bool:
    """Whether this is a trigger of another part of the course: a cron, an event of the engine, a greeting, a check."""
    is_cron = " " in trigger
    return is_cron or trigger.startswith("inngest/") or trigger in {contract.GREET, contract.HEALTH_CHECK}


def done_at_once(world: World, steps: list[Step]) -> None:
    """Report whether every step succeeded at its first attempt."""
    at_once = bool(steps) and all(len(step.attempts) == 1 for step in steps)
    world.report.check("every step was done at the first attempt", step_attempts(steps), at_once, TRIED_AGAIN)
