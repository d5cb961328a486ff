"""D3: every morning a health check for each customer whose tier includes one."""

import json
import re
from typing import Any

from gates import contract
from gates.engine import Function, Run
from gates.report import Advice
from gates.rows import Customer
from gates.world import World, completed, over, states, step_names, told

TITLE = "It wakes by itself, and fans out"
DAILY = re.compile(r"(TZ=\S+ )?\d+ \d+ \* \* \*")
SETTLE_SECONDS = 5
NO_CRON = Advice("no function has a daily cron as its trigger, such as 0 9 * * *", "cron")
EVERYBODY = Advice("the tier is not asked for: standard customers have no health check", "fan_out")
NOBODY = Advice("the events are not sent, or not under the name that the child listens to", "fan_out")
CHECKED_TWICE = Advice("a customer is checked twice: the events are sent between steps, at every call", "memoization")
NO_EVENT_IDS = Advice("the events carry no id: a tick that is delivered twice checks everybody twice", "idempotency")
RANDOM_IDS = Advice(
    "the ids are not made of the customer and the cron's tick (ctx.event.id): the same tick makes others", "idempotency"
)
RUN_IDS = Advice(
    "the ids are made of the run's id, and a tick that is delivered twice is two runs: ctx.event.id is the tick's",
    "idempotency",
)
SENT_BETWEEN_STEPS = Advice(
    "client.send between the steps sends again at every call: ctx.step.send_event", "memoization"
)
A_LOOP = Advice("the checks are made in a loop of the cron's function: one that fails holds up the rest", "fan_out")


async def check(world: World) -> None:
    """Start the cron's function by hand, wait for all children, and count the events, the runs and the rows."""
    cron = daily(await world.engine.functions())
    if not world.report.check("a function with a daily cron", cron.id if cron else "none", cron is not None, NO_CRON):
        return
    customers = await world.store()
    if cron is None or not await world.functions_on(contract.HEALTH_CHECK) or not customers:
        return
    eligible = [customer for customer in customers if customer.tier.lower() in contract.TIERS_WITH_HEALTH_CHECK]
    before = await world.rows.newest()
    known = await world.engine.events(contract.HEALTH_CHECK)
    tick = await world.engine.invoke(cron, {})
    parents = await world.ended(tick)
    # The official server lists an event a moment after it has taken it.
    events = await world.until(
        lambda: newer_events(world, known), lambda found: len(found) >= len(eligible), SETTLE_SECONDS
    )
    await fanned_out(world, parents, events, len(eligible))
    named = each_has_an_id(world, events)
    if events and {event["id"] for event in events} <= {event["id"] for event in known}:
        why = "this tick's events came before and are dropped, which is right; restart the dev server and try again"
        world.report.cannot("one child run and one row for each pro and enterprise customer", why)
        return
    await one_child_each(world, events, eligible)
    await one_row_each(world, before, eligible)
    if named and completed(parents):
        await same_tick_again(world, tick, parents[0], before, events)


async def newer_events(world: World, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The health checks' events that are not known yet."""
    ids = {event["internal_id"] for event in known}
    everything = await world.engine.events(contract.HEALTH_CHECK)
    return [event for event in everything if event["internal_id"] not in ids]


def daily(functions: list[Function]) -> Function | None:
    """The function of the course's cron, or else of another daily one; None if there is none."""
    crons = [function for function in functions if any(DAILY.fullmatch(trigger) for trigger in function.triggers)]
    exact = [function for function in crons if contract.EVERY_MORNING in function.triggers]
    return next(iter([*exact, *crons]), None)


async def fanned_out(world: World, parents: list[Run], events: list[dict[str, Any]], expected: int) -> None:
    """The parent has completed, and it has sent the events in a step."""
    report, steps = world.report, await world.work_steps(parents)
    if not report.check("the cron's run completes", states(parents), completed(parents), NOBODY):
        return
    if not report.check("it sends one event each", f"{len(events)} for {expected} customers", bool(events), A_LOOP):
        return
    sent = {event["internal_id"] for event in events}
    returned = [step for step in steps if any(each in json.dumps(step.output) for each in sent)]
    # A step that calls client.send itself need not return the ids of the events; then it is one beside the look-up.
    in_a_step = bool(returned) or len(steps) > 1
    report.check("the events are sent in a step", step_names(steps), in_a_step, SENT_BETWEEN_STEPS)


def each_has_an_id(world: World, events: list[dict[str, Any]]) -> bool:
    """Every event has an id that its sender gave it. Without events there is nothing to report."""
    ids = [str(event["id"]) for event in events if event["id"] != event["internal_id"]]
    seen = f"{len(ids)} of {len(events)}, such as {ids[0]}" if ids else "none has"
    holds = len(ids) == len(events)
    return bool(events) and world.report.check("each event has an id of its own making", seen, holds, NO_EVENT_IDS)


async def same_tick_again(world: World, tick: str, parent: Run, before: Any, events: list[dict[str, Any]]) -> None:
    """The tick is delivered once more, as another run of the same event: nobody is checked again."""
    rows = len(await world.rows.since(before))
    known = await world.engine.events(contract.HEALTH_CHECK)
    await world.engine.rerun(parent.id)

    async def children() -> list[Run]:
        sent = await newer_events(world, known)
        return [run for event in sent for run in await world.engine.runs_of(event["internal_id"])]

    await world.until(lambda: world.engine.runs_of(tick), lambda runs: len(runs) > 1 and over(runs))
    found = await world.until(children, bool, SETTLE_SECONDS)
    more = len(await world.rows.since(before)) - rows
    cause = RUN_IDS if any(parent.id in str(event["id"]) for event in events) else RANDOM_IDS
    seen = f"{len(found)} more runs, {more} more rows"
    world.report.check("the same tick delivered again checks nobody again", seen, not found and not more, cause)


async def one_child_each(world: World, events: list[dict[str, Any]], eligible: list[Customer]) -> None:
    """Every event has begun one run of its own, and all of them end."""

    async def children() -> list[Run]:
        return [run for event in events for run in await world.engine.runs_of(event["internal_id"])]

    runs = await world.until(children, lambda found: len(found) >= len(eligible) and over(found))
    holds = len(runs) >= len(eligible) and completed(runs)
    world.report.check("each customer has a run of its own", states(runs), holds, A_LOOP)


async def one_row_each(world: World, before: Any, eligible: list[Customer]) -> None:
    """Every eligible customer has one row since then, whatever its action is called, and nobody else has any."""
    counts: dict[str, int] = {}
    for row in await world.rows.since(before):
        counts[str(row.customer)] = counts.get(str(row.customer), 0) + 1
    wanted = {str(customer.id) for customer in eligible}
    cause = NOBODY
    if counts.keys() - wanted:
        cause = EVERYBODY
    elif any(count > 1 for count in counts.values()):
        cause = CHECKED_TWICE
    holds = counts == dict.fromkeys(wanted, 1)
    world.report.check("one row for each pro and enterprise customer", told(counts), holds, cause)
