"""D4: a burst is a queue."""

import asyncio

from gates import contract
from gates.report import Advice
from gates.spans import Step
from gates.world import World, told

TITLE = "A burst of emails waits its turn"
EMAILS = 20
MINUTES = 3


async def check(world: World) -> None:
    """What is declared, and what twenty emails at once come to."""
    handlers = await world.functions_on(contract.EMAIL)
    if not handlers:
        return
    declared = handlers[0].configuration
    limits = [
        (limit.get("key"), limit["limit"]["value"])
        for limit in declared.get("concurrency", [])
        if not limit["limit"].get("isPlanLimit")
    ]
    keyed = [value for key, value in limits if key and "customer_id" in key]
    world.report.check(
        "a limit for each customer, and one for all", f"{limits}", bool(keyed) and any(not key for key, _ in limits),
        Advice("without a key of event.data.customer_id one customer can take every place", "flow_control"),
    )  # fmt: skip
    drops = "rateLimit" in declared or "rate_limit" in declared
    world.report.check(
        "a throttle, which queues", f"{declared.get('throttle') or ('a rate limit' if drops else 'none')}",
        "throttle" in declared and not drops,
        Advice("a rate limit drops what is too much, and with it emails: throttle queues", "flow_control")
        if drops else Advice("without a throttle a burst reaches the model's own limit at once", "flow_control"),
    )  # fmt: skip
    before = await world.rows.last()
    customers = sorted(contract.CUSTOMERS)
    events = await asyncio.gather(*(
        world.send(
            contract.EMAIL,
            {"customer_id": customers[n % len(customers)], "email_text": f"Question {n}: do you ship to Norway?"},
            f"burst-{n}",
        )
        for n in range(EMAILS)
    ))  # fmt: skip

    for _ in range(MINUTES * 30):
        rows = await world.rows.actions(after=before)
        if rows.get("message_sent", 0) >= EMAILS:
            break
        await world.pass_time(seconds=2)
    world.report.check(
        f"{EMAILS} emails at once are all answered once", told(rows),
        rows == {"message_received": EMAILS, "message_sent": EMAILS},
        Advice("emails are dropped: a rate limit, debounce or singleton where a queue was meant", "flow_control"),
    )  # fmt: skip
    by_customer: dict[str, list[Step]] = {}
    for number, event in enumerate(events):
        for run in await world.engine.runs_of(event):
            steps = await world.engine.steps(run.id)
            by_customer.setdefault(customers[number % len(customers)], []).extend(s for s in steps if s.op == "RUN")
    peaks = {customer: peak(steps) for customer, steps in by_customer.items()}
    allowed = max(keyed, default=contract.PER_CUSTOMER_AT_ONCE)
    world.report.check(
        f"never more than {allowed} steps of one customer at once", told(peaks),
        max(peaks.values(), default=0) <= allowed,
        Advice("the key is not the customer's: event.data.customer_id", "flow_control"),
    )  # fmt: skip


def peak(steps: list[Step]) -> int:
    """The highest number of steps that ran at the same time."""
    moments = sorted(
        moment
        for step in steps
        for attempt in step.attempts
        if attempt.ended
        for moment in ((attempt.started, 1), (attempt.ended, -1))
    )
    highest = running = 0
    for _, change in moments:
        running += change
        highest = max(highest, running)
    return highest
