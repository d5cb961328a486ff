"""D2: an email's event wakes the worker, and an audit row is written on either side of the agent."""

from typing import Any

from gates import contract, source
from gates.d1 import OUTSIDE_A_STEP, QUESTION, agent_step, done_at_once, outlived, settled_steps, why_failed
from gates.engine import EngineError, Function, Run
from gates.report import Advice
from gates.rows import Customer, counted
from gates.world import World, completed, states, step_names, told

TITLE = "An event wakes it, and every email leaves its rows"
REFUSED_SECONDS = 12
RUN_FAILED = "run_failed"
ROWS = 2
ROW_TWICE = Advice("a row is written outside a step, where everything runs at every call", "memoization")
NO_ROW = Advice("a step that writes its row is missing, or the row does not name the customer", "steps")
NO_AUDIT_STEP = Advice("the rows are not written in steps of their own, before and after the agent's", "steps")
DONE_AGAIN = Advice("the event's id is not used: something renames or resends the event", "idempotency")
NO_KEYS = Advice(
    "a process that dies after a write and before the engine stores the step does it again: key each row by run and "
    "step, unique, on conflict do nothing",
    "idempotency",
)
NOT_REFUSED = Advice("it is tried again, though it can never succeed: raise NonRetriableError", "retries")
NO_TRACE = Advice("nothing listens to inngest/function.failed: a failed email leaves no trace", "retries")


async def check(world: World) -> None:
    """Send one email. Beyond the course, send it again, and one of a customer who does not exist."""
    handlers = await world.functions_on(contract.EMAIL)
    customers = await world.store() if handlers else []
    if customers:
        await answered(world, handlers[0], customers[0])
        source.look(world, source.HEARS_ALL)
        if world.build.beyond:
            await refused(world)


async def answered(world: World, handler: Function, customer: Customer) -> None:
    """An email is answered in three steps and leaves two rows; beyond the course, delivered again it does nothing."""
    report, before = world.report, await world.rows.newest()
    email = contract.email(customer.id, QUESTION)
    runs = await world.ended(await world.send(contract.EMAIL, email, "plain"))
    if not report.check("an email is answered", states(runs), completed(runs), why_failed(world, runs)):
        return
    once = counted(await world.rows.since(before, customer.id))
    twice = any(count > 1 for count in once.values())
    what = "it leaves two rows, one before the agent and one after it"
    report.check(what, told(once), len(once) >= ROWS and not twice, ROW_TWICE if twice else NO_ROW)
    steps = await settled_steps(world, runs, QUESTION)
    agent = agent_step(steps, QUESTION)
    inside = agent is not None and agent not in (steps[0], steps[-1])
    cause = NO_AUDIT_STEP if agent else OUTSIDE_A_STEP
    report.check("its steps are audit, agent, audit", step_names(steps), inside, cause)
    done_at_once(world, steps)
    if world.build.die_after:
        outlived(world, world.build.die_after)
    if world.build.beyond:
        await world.send(contract.EMAIL, email, "plain")
        await world.pass_time(seconds=2)
        again = counted(await world.rows.since(before, customer.id))
        report.check("the same email delivered again does nothing", told(again), again == once, DONE_AGAIN)
        await done_again(world, handler, runs[0], email, once, before)


async def done_again(
    world: World, handler: Function, run: Run, email: dict[str, Any], once: dict[str, int], before: object
) -> None:
    """Beyond the course: the run's first step is done once more, as after a crash, and finds its row."""
    what = "its first step, done again as after a crash, adds no row"
    try:
        event = {"name": contract.EMAIL, "id": world.own("plain"), "data": email}
        await world.engine.call_as_at_first(handler, run.id, event)
    except EngineError as error:
        world.report.cannot(what, str(error))
        return
    again = counted(await world.rows.since(before, email["customer_id"]))
    world.report.check(what, told(again), again == once, NO_KEYS)


async def refused(world: World) -> None:
    """Beyond the course: an email of nobody is not tried again, and leaves a row by which a person finds it."""
    before, nobody = await world.rows.newest(), f"nobody-{world.mark}"
    runs = await world.ended(
        await world.send(contract.EMAIL, contract.email(nobody, QUESTION), "stranger"), REFUSED_SECONDS
    )
    failed = bool(runs) and all(run.status == "FAILED" for run in runs)
    world.report.check("an email of an unknown customer fails at once", states(runs), failed, NOT_REFUSED)
    rows = await world.until(
        lambda: world.rows.since(before, nobody),
        lambda found: any(row.action == RUN_FAILED for row in found),
        REFUSED_SECONDS,
    )
    left = counted(rows)
    world.report.check("and leaves a run_failed row for a person", told(left), left.get(RUN_FAILED) == 1, NO_TRACE)
