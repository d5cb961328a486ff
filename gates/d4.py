"""D4: a burst of emails becomes a queue."""

import asyncio
import re
from collections import Counter
from typing import Any

from gates import contract
from gates.d1 import QUESTION, why_failed
from gates.engine import Function, Run
from gates.report import Advice
from gates.rows import Customer
from gates.spans import Step
from gates.world import World, completed, over, states, told

TITLE = "A burst of emails waits its turn"
EMAILS = 20
MINUTES = 3
LOOK_SECONDS = 2
SECONDS = {"h": 3600, "m": 60, "s": 1}
NO_KEY = Advice("without a key of event.data.customer_id one customer can take every place", "flow_control")
TOO_MANY = Advice(
    "a limit is above the course's 10, 2 and 30 a minute; if what you protect bears more, tell it: --limits 20,2,60",
    "flow_control",
)
RATE_LIMIT = Advice("a rate limit drops what is too much, and with it emails: throttle queues", "surplus")
NO_THROTTLE = Advice("without a throttle a burst reaches the model's own limit at once", "flow_control")
DROPPED = Advice("emails are dropped: a rate limit, debounce or singleton where a queue was meant", "surplus")
TWICE = Advice("rows are there twice: what stands between steps runs at every call", "memoization")
WRONG_KEY = Advice("the key is not the customer's: event.data.customer_id", "flow_control")


async def check(world: World) -> None:
    """Look at what the handler declares, and at what becomes of twenty emails at once."""
    handlers = await world.functions_on(contract.EMAIL)
    customers = await world.store()
    if not handlers or not customers:
        return
    declared_limits(world, handlers[0])
    declared_throttle(world, handlers[0])
    if world.build.die_after:
        world.report.cannot(f"{EMAILS} emails at once", "DIE_AFTER is set, so each would die: take it out of .env")
        return
    await burst(world, customers[: contract.CUSTOMERS])


def declared_limits(world: World, handler: Function) -> None:
    """There is a limit for all and one for each customer, neither above what was told."""
    most, most_each, _ = world.build.limits
    overall: list[int] = []
    keyed: list[int] = []
    for declared in handler.configuration.get("concurrency", []):
        value = declared["limit"]["value"]
        if declared["limit"].get("isPlanLimit"):
            continue
        if "customer_id" in declared.get("key", ""):
            keyed.append(value)
        elif not declared.get("key"):
            overall.append(value)
    there = bool(overall) and bool(keyed)
    within = there and min(overall) <= most and min(keyed) <= most_each
    seen = f"{overall or 'none'} for all, {keyed or 'none'} for each customer"
    cause = TOO_MANY if there else NO_KEY
    world.report.check(f"at most {most} steps at once, and {most_each} of a customer", seen, within, cause)


def declared_throttle(world: World, handler: Function) -> None:
    """There is a throttle, which queues what is too much, and no rate limit, which would drop it."""
    most = world.build.limits[2]
    what, throttle = f"a throttle of {most} a minute, which queues", handler.configuration.get("throttle")
    if "rateLimit" in handler.configuration or "rate_limit" in handler.configuration:
        world.report.check(what, f"{throttle or 'a rate limit'}", False, RATE_LIMIT)
    elif throttle is None:
        world.report.check(what, "none", False, NO_THROTTLE)
    else:
        rate = per_minute(throttle)
        world.report.check(what, f"{rate:g} a minute", rate <= most, TOO_MANY)


def per_minute(throttle: dict[str, Any]) -> float:
    """How many runs a throttle lets start in a minute. Its period reads like 1m0s."""
    parts = re.findall(r"(\d+)([hms])", str(throttle.get("period", "1m")))
    return float(throttle["limit"]) * 60 / (sum(int(number) * SECONDS[unit] for number, unit in parts) or 60)


async def burst(world: World, customers: list[Customer]) -> None:
    """Twenty emails of five customers, sent at once, are all answered once and never too many at a time."""
    first = await usual_rows(world, customers[0])
    if first is None:
        return
    before = await world.rows.newest()
    writers = [customers[number % len(customers)] for number in range(EMAILS)]
    events = await asyncio.gather(
        *(
            world.send(contract.EMAIL, contract.email(writer.id, f"Question {n}: do you ship to Norway?"), f"burst-{n}")
            for n, writer in enumerate(writers)
        )
    )
    runs: list[list[Run]] = []
    idle = 0.0
    for _ in range(MINUTES * 60 // LOOK_SECONDS):
        before_that, runs = runs, [await world.engine.runs_of(event) for event in events]
        idle = idle + LOOK_SECONDS if runs == before_that else 0
        # An email that was dropped never has a run: nothing is waited for when all others have ended.
        if all(over(each) for each in runs) or (idle > world.build.patience and all(map(over, filter(None, runs)))):
            break
        await world.pass_time(seconds=LOOK_SECONDS)
    done = sum(completed(each) for each in runs)
    seen = f"{done} of {EMAILS} completed"
    world.report.check(f"{EMAILS} emails at once: every run completes", seen, done == EMAILS, DROPPED)
    rows = await world.rows.since(before)
    counts = Counter((row.customer, row.action) for row in rows)
    wanted = Counter((str(writer.id), action) for writer in writers for action in first)
    short = any(counts[each] < number for each, number in wanted.items())
    told_rows = told(dict(Counter(row.action for row in rows if row.action in first)))
    right = all(counts[each] == number for each, number in wanted.items())
    world.report.check("one row in and one out for each email", told_rows, right, DROPPED if short else TWICE)
    await peaks(world, writers, runs)


async def usual_rows(world: World, customer: Customer) -> list[str] | None:
    """The actions of the first and the last row of one ordinary email; None if that is not answered already."""
    before = await world.rows.newest()
    runs = await world.ended(await world.send(contract.EMAIL, contract.email(customer.id, QUESTION), "single"))
    rows = await world.rows.since(before, customer.id)
    answered = completed(runs) and len(rows) > 1
    seen = f"{states(runs)}, {len(rows)} rows"
    if not world.report.check(
        "a single email is answered and leaves two rows", seen, answered, why_failed(world, runs)
    ):
        return None
    return [rows[0].action, rows[-1].action]


async def peaks(world: World, writers: list[Customer], runs: list[list[Run]]) -> None:
    """Never did more steps run at a time than was told, in all and of one customer."""
    most, most_each, _ = world.build.limits
    work: dict[str, list[Step]] = {}
    for writer, of_email in zip(writers, runs, strict=True):
        work.setdefault(str(writer.id), []).extend(await world.work_steps(of_email))
    highest = peak([step for steps in work.values() for step in steps])
    world.report.check(f"never more than {most} steps at once", f"{highest}", highest <= most, TOO_MANY)
    each = {customer: peak(steps) for customer, steps in work.items()}
    within = max(each.values()) <= most_each
    world.report.check(f"never more than {most_each} steps of one customer at once", told(each), within, WRONG_KEY)


def peak(steps: list[Step]) -> int:
    """The highest number of steps that ran at the same time."""
    moments = []
    for step in steps:
        for attempt in step.attempts:
            if attempt.ended:
                moments.append((attempt.started, 1))
                moments.append((attempt.ended, -1))
    highest = running = 0
    for _, change in sorted(moments):
        running += change
        highest = max(highest, running)
    return highest
