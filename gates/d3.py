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
UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
# A day or a time in figures, as 2026-11-30 or in seconds since 1970, or the engine's id of a tick or a run.
TICK = re.compile(r"\d{4}-\d\d-\d\d|\d{8,}|[0-9A-HJKMNP-TV-Z]{26}")
NO_CRON = Advice("no function has a daily cron as its trigger, such as 0 9 * * *", "cron")
EVERYBODY = Advice("the tier is not asked for: standard customers have no health check", "fan_out")
NOBODY = Advice("the events are not sent, or not under the name that the child listens to", "fan_out")
CHECKED_TWICE = Advice("a customer is checked twice: the events are sent between steps, at every call", "memoization")
NO_EVENT_IDS = Advice("the events carry no id: a tick that is delivered twice checks everybody twice", "idempotency")
RANDOM_IDS = Advice(
    "the ids are not made of the customer and the cron's tick (ctx.event.id): the same tick makes others", "idempotency"
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
    everything = await world.engine.events(contract.HEALTH_CHECK)
    seen = {event["internal_id"] for event in known}
    events = [event for event in everything if event["internal_id"] not in seen]
    await fanned_out(world, parents, events, len(eligible))
    ids_are_stable(world, events, tick)
    if events and {event["id"] for event in events} <= {event["id"] for event in known}:
        why = "this tick's events came before and are dropped, which is right; restart the dev server and try again"
        world.report.cannot("one child run and one row for each pro and enterprise customer", why)
        return
    await one_child_each(world, events, eligible)
    await one_row_each(world, before, eligible)


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


def ids_are_stable(world: World, events: list[dict[str, Any]], tick: str) -> None:
    """Each event has an id that the same tick of the cron would make again."""
    if not events:
        return
    named = [event for event in events if event["id"] != event["internal_id"]]
    ids = [str(event["id"]) for event in named]
    seen = f"{len(named)} of {len(events)}, such as {ids[0]}" if ids else "none has"
    what = "each event has an id of its own making"
    if not world.report.check(what, seen, len(named) == len(events), NO_EVENT_IDS):
        return
    rests = set()
    for event in named:
        customer = str((event.get("data") or {}).get("customer_id", ""))
        rests.add(str(event["id"]).replace(customer, "", 1) if customer in str(event["id"]) else "")
    rest = rests.pop() if len(rests) == 1 else ""
    by_tick = tick in rest or bool(TICK.search(UUID.sub("", rest)))
    world.report.check("made of the customer and the tick", ids[0], by_tick, RANDOM_IDS)


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
