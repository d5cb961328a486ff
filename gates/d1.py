"""D1: an event wakes the worker, and every message leaves its rows once."""

from gates import contract
from gates.report import Advice
from gates.world import World, states, told

TITLE = "An event wakes it, and every message leaves its rows"
QUESTION = "Good morning. How long does shipping to Norway take?"
REFUSED_SECONDS = 12


async def check(world: World) -> None:
    """One email, the same again, and one of nobody."""
    if not await world.functions_on(contract.EMAIL):
        return
    before = await world.rows.last()
    email = {"customer_id": "cust_001", "email_text": QUESTION, "message_id": world.own("plain")}
    runs = await world.ended(await world.send(contract.EMAIL, email, "plain"))
    done = bool(runs) and all(run.status == "COMPLETED" for run in runs)
    world.report.check(
        "an email is answered", states(runs), done,
        Advice("the run failed or hangs: open it in the dashboard, its error is there", "retries"),
    )  # fmt: skip
    ids = [run.id for run in runs]
    rows = await world.rows.actions(after=before, runs=ids)
    right = rows == {"message_received": 1, "message_sent": 1}
    double = any(count > 1 for count in rows.values())
    world.report.check(
        "it leaves one message_received and one message_sent, under the run's id", told(rows), right,
        Advice("a row is written outside a step: what stands between steps runs at every call", "memoization")
        if double else Advice("a step that writes its row is missing, or it writes another run_id", "steps"),
    )  # fmt: skip
    steps = [step for run in runs for step in await world.engine.steps(run.id) if step.op == "RUN"]
    world.report.check(
        "every step was done at the first attempt", told({step.name: len(step.attempts) for step in steps}),
        bool(steps) and all(len(step.attempts) == 1 for step in steps),
        Advice("there is no step at all: everything runs in the function's body", "steps") if not steps
        else Advice("a step fails after its side effect, most often because what it returns is no JSON", "steps"),
    )  # fmt: skip
    await world.send(contract.EMAIL, email, "plain")
    await world.pass_time(seconds=2)
    again = await world.rows.actions(after=before, customer="cust_001")
    world.report.check(
        "the same email delivered again does nothing", told(again), again == rows,
        Advice("the event's id is not used: something renames or resends the event", "idempotency"),
    )  # fmt: skip
    stranger = {"customer_id": f"nobody-{world.mark}", "email_text": QUESTION}
    runs = await world.ended(await world.send(contract.EMAIL, stranger, "stranger"), REFUSED_SECONDS)
    world.report.check(
        "an email of an unknown customer fails at once", states(runs), [run.status for run in runs] == ["FAILED"],
        Advice("it is tried again, though it can never succeed: raise NonRetriableError", "retries"),
    )  # fmt: skip
    ids = [run.id for run in runs]
    rows = await world.until(
        lambda: world.rows.actions(after=before, runs=ids), lambda found: "run_failed" in found, REFUSED_SECONDS
    )
    world.report.check(
        "and leaves a run_failed row for a person", told(rows), rows.get("run_failed") == 1,
        Advice("nothing listens to inngest/function.failed: a failed email leaves no trace", "retries"),
    )  # fmt: skip
