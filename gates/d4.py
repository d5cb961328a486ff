"""D4: a burst of emails becomes a queue."""

import asyncio

from gates import contract
from gates.engine import Function
from gates.report import Advice
from gates.spans import Step
from gates.world import World, told

TITLE = "A burst of emails waits its turn"
EMAILS = 20
MINUTES = 3
LOOK_SECONDS = 2
NO_KEY = Advice("without a key of event.data.customer_id one customer can take every place", "flow_control")
RATE_LIMIT = Advice("a rate limit drops what is too much, and with it emails: throttle queues", "flow_control")
NO_THROTTLE = Advice("without a throttle a burst reaches the model's own limit at once", "flow_control")
DROPPED = Advice("emails are dropped: a rate limit, debounce or singleton where a queue was meant", "flow_control")
WRONG_KEY = Advice("the key is not the customer's: event.data.customer_id", "flow_control")


async def check(world: World) -> None:
    """Look at what the handler declares, and at what becomes of twenty emails at once."""
    handlers = await world.functions_on(contract.EMAIL)
    if handlers:
        per_customer = declared_limits(world, handlers[0])
        declared_throttle(world, handlers[0])
        await burst(world, per_customer)


def declared_limits(world: World, handler: Function) -> int:
    """There is a limit for each customer and one for all. Returns how many steps of one customer may run at once."""
    limits = [
        (declared.get("key"), declared["limit"]["value"])
        for declared in handler.configuration.get("concurrency", [])
        if not declared["limit"].get("isPlanLimit")
    ]
    keyed = [value for key, value in limits if key and "customer_id" in key]
    overall = [value for key, value in limits if not key]
    world.report.check("a limit for each customer, and one for all", f"{limits}", bool(keyed) and bool(overall), NO_KEY)
    return max(keyed, default=contract.PER_CUSTOMER_AT_ONCE)


def declared_throttle(world: World, handler: Function) -> None:
    """There is a throttle, which queues what is too much, and no rate limit, which would drop it."""
    what, throttle = "a throttle, which queues", handler.configuration.get("throttle")
    if "rateLimit" in handler.configuration or "rate_limit" in handler.configuration:
        world.report.check(what, f"{throttle or 'a rate limit'}", False, RATE_LIMIT)
    else:
        world.report.check(what, f"{throttle or 'none'}", throttle is not None, NO_THROTTLE)


async def burst(world: World, per_customer: int) -> None:
    """Twenty emails of five customers, sent at once, are all answered once and never too many of one customer."""
    before = await world.rows.last()
    customers = sorted(contract.CUSTOMERS)
    writers = [customers[number % len(customers)] for number in range(EMAILS)]
    sending = []
    for number, writer in enumerate(writers):
        email = {"customer_id": writer, "email_text": f"Question {number}: do you ship to Norway?"}
        sending.append(world.send(contract.EMAIL, email, f"burst-{number}"))
    events = await asyncio.gather(*sending)
    for _ in range(MINUTES * 60 // LOOK_SECONDS):
        rows = await world.rows.actions(after=before)
        if rows.get("message_sent", 0) >= EMAILS:
            break
        await world.pass_time(seconds=LOOK_SECONDS)
    once_each = {"message_received": EMAILS, "message_sent": EMAILS}
    world.report.check(f"{EMAILS} emails at once are all answered once", told(rows), rows == once_each, DROPPED)
    work: dict[str, list[Step]] = {}
    for writer, event in zip(writers, events, strict=True):
        work.setdefault(writer, []).extend(await world.work_steps(await world.engine.runs_of(event)))
    peaks = {customer: peak(steps) for customer, steps in work.items()}
    within = max(peaks.values()) <= per_customer
    world.report.check(f"never more than {per_customer} steps of one customer at once", told(peaks), within, WRONG_KEY)


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
