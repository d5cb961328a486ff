"""D2: an email's event wakes the worker, and an audit row is written on either side of the agent."""

from gates import contract
from gates.d1 import NOT_COMPLETED, OUTSIDE_A_STEP, QUESTION, done_at_once
from gates.report import Advice
from gates.world import World, completed, states, step_names, told

TITLE = "An event wakes it, and every email leaves its rows"
AUDIT_STEPS = 2
REFUSED_SECONDS = 12
ROW_TWICE = Advice("a row is written outside a step: what stands between steps runs at every call", "memoization")
NO_ROW = Advice("a step that writes its row is missing, or it writes another run_id", "steps")
DONE_AGAIN = Advice("the event's id is not used: something renames or resends the event", "idempotency")
NOT_REFUSED = Advice("it is tried again, though it can never succeed: raise NonRetriableError", "retries")
NO_TRACE = Advice("nothing listens to inngest/function.failed: a failed email leaves no trace", "retries")


async def check(world: World) -> None:
    """Send one email, the same one again, and one of a customer who does not exist."""
    if not await world.functions_on(contract.EMAIL):
        return
    await answered(world)
    await refused(world)


async def answered(world: World) -> None:
    """An email is answered in three steps and leaves two rows; delivered again, it does nothing."""
    report, before = world.report, await world.rows.last()
    email = {"customer_id": "cust_001", "email_text": QUESTION, "message_id": world.own("plain")}
    runs = await world.ended(await world.send(contract.EMAIL, email, "plain"))
    if not report.check("an email is answered", states(runs), completed(runs), NOT_COMPLETED):
        return
    written = await world.rows.written_by([run.id for run in runs])
    cause = NO_ROW
    if len(set(written)) < len(written):
        cause = ROW_TWICE
    report.check(
        "its run leaves two rows, one before the agent and one after it",
        ", ".join(written) or "none",
        written == ["message_received", "message_sent"],
        cause,
    )
    steps = await world.work_steps(runs)
    report.check("its steps are audit, agent, audit", step_names(steps), len(steps) > AUDIT_STEPS, OUTSIDE_A_STEP)
    done_at_once(world, steps)
    once = await world.rows.actions(after=before, customer="cust_001")
    await world.send(contract.EMAIL, email, "plain")
    await world.pass_time(seconds=2)
    again = await world.rows.actions(after=before, customer="cust_001")
    report.check("the same email delivered again does nothing", told(again), again == once, DONE_AGAIN)


async def refused(world: World) -> None:
    """An email of nobody is not tried again. Beyond the course it leaves a row by which a person finds it."""
    email = {"customer_id": f"nobody-{world.mark}", "email_text": QUESTION}
    runs = await world.ended(await world.send(contract.EMAIL, email, "stranger"), REFUSED_SECONDS)
    failed = bool(runs) and all(run.status == "FAILED" for run in runs)
    world.report.check("an email of an unknown customer fails at once", states(runs), failed, NOT_REFUSED)
    if world.beyond:
        rows = await world.until(
            lambda: world.rows.actions(runs=[run.id for run in runs]),
            lambda found: contract.RUN_FAILED in found,
            REFUSED_SECONDS,
        )
        left = rows.get(contract.RUN_FAILED) == 1
        world.report.check("and leaves a run_failed row for a person", told(rows), left, NO_TRACE)
