"""D3: every morning a health check for each customer whose tier includes one."""

from typing import Any

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.world import World, states, step_names, told

TITLE = "It wakes by itself, and fans out"
EVERYBODY = Advice("the tier is not asked for: standard customers have no health check", "fan_out")
NOBODY = Advice("the events are not sent, or not under the name that the child listens to", "fan_out")
NO_EVENT_IDS = Advice("the events carry no id: a tick that is delivered twice checks everybody twice", "idempotency")
SENT_BETWEEN_STEPS = Advice(
    "client.send between the steps sends again at every call: ctx.step.send_event", "memoization"
)
A_LOOP = Advice("the checks are made in a loop of the cron's function: one that fails holds up the rest", "fan_out")


async def check(world: World) -> None:
    """Start the cron's function by hand, and count the rows, the events and the runs that come of it."""
    crons = await world.functions_on(contract.EVERY_MORNING)
    children = await world.functions_on(contract.HEALTH_CHECK)
    if not crons or not children:
        return
    before = await world.rows.last()
    known = {event["internal_id"] for event in await world.engine.events(contract.HEALTH_CHECK)}
    started = await world.engine.invoke(crons[0], {})
    customers = await world.rows.customers()
    eligible = {name for name, tier in customers.items() if tier in contract.TIERS_WITH_HEALTH_CHECK}
    await one_row_each(world, eligible, before)
    events = [event for event in await world.engine.events(contract.HEALTH_CHECK) if event["internal_id"] not in known]
    await fanned_out(world, events, await world.ended(started), len(eligible))


async def one_row_each(world: World, eligible: set[str], before: int) -> None:
    """Every eligible customer has one health_check row that is newer than `before`, and nobody else has any."""

    async def checked() -> dict[str, int]:
        rows = await world.rows.fetch(
            "select customer_id, count(*) from audit_log where id > $1 and action = 'health_check' group by 1", before
        )
        return {row["customer_id"]: row["count"] for row in rows}

    found = await world.until(checked, lambda rows: rows.keys() >= eligible)
    cause = NOBODY
    if found.keys() - eligible:
        cause = EVERYBODY
    world.report.check(
        "one health_check row for each pro and enterprise customer",
        told(found),
        found == dict.fromkeys(eligible, 1),
        cause,
    )


async def fanned_out(world: World, events: list[dict[str, Any]], parents: list[Run], expected: int) -> None:
    """The events have ids of their own, were sent in a step, and each began a run of its own."""
    report = world.report
    named = [event for event in events if event["id"] != event["internal_id"]]
    all_named = len(named) == len(events) >= expected
    report.check("each event has an id of its own making", f"{len(named)} of {len(events)}", all_named, NO_EVENT_IDS)
    steps = await world.steps(parents)
    in_a_step = any(step.op == "RUN" for step in steps)
    report.check("the events are sent in a step", step_names(steps), in_a_step, SENT_BETWEEN_STEPS)
    runs = [run for event in events for run in await world.engine.runs_of(event["internal_id"])]
    all_over = len(runs) >= expected and all(run.over for run in runs)
    report.check("each customer has a run of its own", states(runs), all_over, A_LOOP)
