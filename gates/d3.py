"""D3: every morning a health check for each customer whose tier includes it."""

from gates import contract
from gates.report import Advice
from gates.world import World, states, told

TITLE = "It wakes by itself, and fans out"


async def check(world: World) -> None:
    """The cron's function is run by hand; what it leads to is counted."""
    crons = await world.functions_on(contract.EVERY_MORNING)
    children = await world.functions_on(contract.HEALTH_CHECK)
    if not crons or not children:
        return
    before = await world.rows.last()
    known = {event["internal_id"] for event in await world.engine.events(contract.HEALTH_CHECK)}
    run = await world.engine.invoke(crons[0])

    async def checked() -> dict[str, int]:
        rows = await world.rows.fetch(
            "select customer_id, count(*) from audit_log where id > $1 and action = 'health_check' group by 1", before
        )
        return {row["customer_id"]: row["count"] for row in rows}

    customers = await world.rows.customers()
    expected = {name: 1 for name, tier in customers.items() if tier in contract.TIERS_WITH_HEALTH_CHECK}
    found = await world.until(checked, lambda rows: rows.keys() >= expected.keys())
    extra = found.keys() - expected.keys()
    world.report.check(
        "one health_check row for each pro and enterprise customer", told(found), found == expected,
        Advice("the tier is not asked for: standard customers have no health check", "fan_out") if extra
        else Advice("the events are not sent, or not under the name that the child listens to", "fan_out"),
    )  # fmt: skip
    events = [event for event in await world.engine.events(contract.HEALTH_CHECK) if event["internal_id"] not in known]
    named = [event for event in events if event["id"] != event["internal_id"]]
    world.report.check(
        "each event has an id of its own making", f"{len(named)} of {len(events)}",
        len(named) == len(events) >= len(expected),
        Advice("the events carry no id: a tick that is delivered twice checks everybody twice", "idempotency"),
    )  # fmt: skip
    steps = await world.engine.steps(run)
    world.report.check(
        "the events are sent in a step", ", ".join(step.name for step in steps) or "no steps",
        any(step.op == "RUN" for step in steps),
        Advice("client.send between the steps sends again at every call: ctx.step.send_event", "memoization"),
    )  # fmt: skip
    runs = [child for event in events for child in await world.engine.runs_of(event["internal_id"])]
    world.report.check(
        "each customer has a run of its own", states(runs),
        len(runs) >= len(expected) and all(run.over for run in runs),
        Advice("the checks are made in a loop of the cron's function: one that fails holds up the rest", "fan_out"),
    )  # fmt: skip
