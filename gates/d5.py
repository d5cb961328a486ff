"""D5: no money moves before a person has approved it."""

import json
import re
import secrets
from contextlib import suppress
from datetime import timedelta

from gates import contract, hook
from gates.engine import EngineError, Run
from gates.report import Advice
from gates.rows import Customer, counted
from gates.spans import time
from gates.world import World, completed, over, reply_in, states, told

TITLE = "No money before a person has approved it"
CONCEPT = "human_gate"
WAKES_SECONDS = 20
# A step with one of these words in its name writes down that the refund waits, and tells nobody.
BOOKKEEPING = re.compile(r"audit|record|save|store|write|log\b|ledger", re.IGNORECASE)
NO_APPROVAL = Advice("the refund tool does not need approval: needs_approval=True", CONCEPT)
NO_WAIT = Advice("the handler does not wait for an event when the agent pauses on a refund", CONCEPT)
ANYBODYS_YES = Advice("the wait takes any decision: match async.data against event.data", CONCEPT)
PAID_TWICE = Advice(
    "only the event stands between yes and money: one payment per decision, in the ledger", "idempotency"
)
BOTH_WOKEN = Advice("matched by customer only, one yes answers all that wait: match a request_id or event.id", CONCEPT)
TEXT_PAYS = Advice("bool() of any text is true, of 'false' as well: only `is True` approves", CONCEPT)
INJECTABLE = Advice(
    "the expression holds the event's data as text: an id with a quote in it breaks out and matches any decision; "
    "a constant cannot: async.data.customer_id == event.data.customer_id",
    CONCEPT,
)
ASKED_FIRST = Advice(
    "people are asked before the run waits: an answer that comes in between is lost; begin both together, with "
    "ctx.group.parallel",
    CONCEPT,
)
ASKED_AGAIN = Advice("it asks for the same refund again: a fresh conversation instead of the saved state", CONCEPT)
NOT_WOKEN = Advice(
    "the decision wakes nobody: the event's name, the expression, or it was asked before it waited", CONCEPT
)
RESUME_FAILS = Advice("resuming fails: open the run, its error is in the step after the wait", "retries")
LOST_CONTEXT = Advice(
    "the context was lost on resume, so the tool fails and the model apologises: context_override=", CONCEPT
)
WRONG_ROW = Advice("a branch of the decision leaves no row, or the wrong one", CONCEPT)
NOT_ENDED = Advice("the run fails or hangs after its rows are there: open it, its error is in its last step", "retries")
NOTHING_SAID = Advice("after a no the agent is not resumed: nobody tells the customer that it was declined", CONCEPT)
SILENCE_PAYS = Advice("silence pays: the branch for None must not approve", CONCEPT)
WAITS_LONGER = Advice("the wait is longer than four hours, or it waits again for ever", "sleep_and_wait")
NO_TIMEOUT = Advice("no branch for the timeout: wait_for_event returns None, and the code fails on it", CONCEPT)
NO_REPLY = Advice("the branch for the timeout ends the run: the customer is never told that no money comes", CONCEPT)


class Email:
    """An email that asks for a refund, and what has come of it."""

    def __init__(self, world: World, customer: Customer, order: str = "") -> None:
        self.world = world
        self.customer = customer
        self.order = order or f"G-{secrets.randbelow(10**6):06}"
        # Two emails about one order are two events.
        self.key = f"{self.order}-{secrets.token_hex(2)}"
        self.text = f"I was charged twice for order {self.order}. Please return the $19.00 that was too much."
        self.event = ""
        self.before: object = None
        self.before_decision: list[str] = []

    async def paused(self) -> bool:
        """Send it. Reports whether its run waits for a person and nothing was paid yet."""
        self.before = await self.world.rows.newest()
        self.event = await self.world.send(contract.EMAIL, contract.email(self.customer.id, self.text), self.key)
        runs, steps = await self.world.waiting(self.event)
        waits = [] if over(runs) else [step.name for step in steps if step.waits_now]
        self.before_decision = [step.name for step in steps]
        paid = await self.paid()
        return self.world.report.check(
            "an email that asks for a refund waits for a person, unpaid",
            f"{', '.join(waits) or states(runs)}; {told(await self.rows())}",
            bool(waits) and not paid,
            NO_APPROVAL if paid else NO_WAIT,
        )

    async def rows(self) -> dict[str, int]:
        """How often each action was written for this customer since the email was sent."""
        return counted(await self.world.rows.since(self.before, self.customer.id))

    async def paid(self) -> int:
        """How many rows say that a refund of this customer was made since the email was sent."""
        return sum(count for action, count in (await self.rows()).items() if contract.pays(action))

    async def blocked(self) -> int:
        """How many rows say that one was not made."""
        return sum(count for action, count in (await self.rows()).items() if contract.blocks(action))

    async def decide(self, number: int, *, approved: object, customer: Customer | None = None) -> None:
        """Send a decision for this email, or one for another customer. Each `number` is another event."""
        data: dict[str, object] = {"approved": approved, "customer_id": (customer or self.customer).id}
        if customer is None:
            data["request_id"] = self.world.own(self.key)
        await self.world.send(contract.DECIDED, data, f"{self.key}-decision-{number}")

    async def waits_for(self) -> list[timedelta]:
        """How long its first wait is to last, if the engine says so."""
        found = []
        for run in await self.world.engine.runs_of(self.event):
            waits = await self.world.engine.waits(run.id)
            began = [step.attempts[0].started for step in await self.world.engine.steps(run.id) if step.waits]
            if waits and began and "T" in (waits[0].get("timeout") or ""):
                found.append(time(waits[0]["timeout"]) - began[0])
        return found

    async def over(self, seconds: float = 0) -> list[Run]:
        """Its runs, as soon as they have ended or the time is up."""
        return await self.world.ended(self.event, seconds)

    async def forget(self) -> None:
        """Cancel what still waits, so that no decision of a later check wakes it."""
        for run in await self.world.engine.runs_of(self.event) if self.event else []:
            if not run.over:
                # It may have ended just now.
                with suppress(EngineError):
                    await self.world.engine.cancel(run.id)

    async def said(self, runs: list[Run]) -> str:
        """What the agent replied after the wait."""
        steps = await self.world.steps(runs)
        first = next((number for number, step in enumerate(steps) if step.waits), len(steps))
        # A step that tells the reviewers begins beside the wait, and is none that answers.
        later = [step for step in steps[first:] if step.name not in self.before_decision]
        return max((reply_in(step, self.text) for step in later), key=len, default="")

    async def why_not(self, runs: list[Run]) -> Advice:
        """The likeliest reason why a decision did not lead to the rows that it should."""
        rows = await self.rows()
        waits = [step for step in await self.world.steps(runs) if step.waits]
        if not over(runs) and any(step.waits_now for step in waits):
            return ASKED_AGAIN if len(waits) > 1 else NOT_WOKEN
        if any(run.status == "FAILED" for run in runs):
            return RESUME_FAILS
        if not any(contract.pays(action) or contract.blocks(action) for action in rows):
            return LOST_CONTEXT
        return WRONG_ROW

    async def why_not_expired(self, runs: list[Run]) -> Advice:
        """The likeliest reason why four hours without an answer did not lead to the row that they should."""
        if await self.paid():
            return SILENCE_PAYS
        if completed(runs):
            return WRONG_ROW
        if any(step.waits_now for step in await self.world.steps(runs)):
            return WAITS_LONGER
        return NO_TIMEOUT


async def check(world: World) -> None:
    """Ask for three refunds: one is approved, one rejected, and for one nobody answers."""
    if not await world.functions_on(contract.EMAIL):
        return
    customers = await world.store()
    if not customers:
        return
    await approved(Email(world, customers[1]), customers[4])
    await rejected(Email(world, customers[2]))
    await expired(Email(world, customers[3]))
    if world.build.beyond:
        await text_does_not_pay(Email(world, customers[0]))
        await two_orders(Email(world, customers[1]), Email(world, customers[1]))
        await one_order_twice(world, customers[2])


async def approved(email: Email, another: Customer) -> None:
    """An approval pays once, however often it comes. One for another customer pays nothing."""
    world, report = email.world, email.world.report
    if not await email.paused():
        return
    await expression(email)
    await asked_first(email)
    await email.decide(0, approved=True, customer=another)
    await world.pass_time(seconds=2)
    paid = await email.paid()
    report.check("a yes for another customer moves nothing", told(await email.rows()), not paid, ANYBODYS_YES)
    await email.decide(1, approved=True)
    runs = await email.over()
    paid = await email.paid()
    why = await email.why_not(runs)
    if report.check("a yes pays once", told(await email.rows()), paid == 1, why):
        report.check("and the run completes", states(runs), completed(runs), NOT_ENDED)
        await email.decide(2, approved=True)
        await world.pass_time(seconds=2)
        paid = await email.paid()
        report.check("the yes again pays nothing more", told(await email.rows()), paid == 1, PAID_TWICE)
    await email.forget()


async def expression(email: Email) -> None:
    """The wait ends after four hours, and its expression is a constant. The course prints one that is not."""
    report = email.world.report
    for lasts in await email.waits_for():
        longest = timedelta(hours=contract.APPROVAL_HOURS, minutes=1)
        report.check("it waits four hours at most", f"{lasts}", lasts <= longest, WAITS_LONGER)
    runs = await email.world.engine.runs_of(email.event)
    waits = [wait for run in runs for wait in await email.world.engine.waits(run.id)]
    broken = [wait["expression"] for wait in waits if f"'{email.customer.id}'" in (wait["expression"] or "")]
    if broken:
        email.world.better("the expression is a constant", broken[0], INJECTABLE)


async def asked_first(email: Email) -> None:
    """No step between the agent's and the wait tells people of the refund. The course prints one that does."""
    runs = await email.world.engine.runs_of(email.event)
    waits = [step for step in await email.world.steps(runs) if step.waits]
    done = [step for step in await email.world.work_steps(runs) if step.attempts[-1].ended]
    if not waits or not done:
        return
    # What the agent's step returned is the longest: the state of its run.
    agent = max(done, key=lambda step: len(json.dumps(step.output)))
    began = waits[0].attempts[0].started
    for step in done[done.index(agent) + 1 :]:
        ended = step.attempts[-1].ended
        if ended and ended <= began and not BOOKKEEPING.search(step.name):
            seen = f"{step.name} ended {(began - ended).total_seconds():.2f} s before {waits[0].name} began"
            email.world.better("the wait begins with the question", seen, ASKED_FIRST)


async def rejected(email: Email) -> None:
    """A rejection pays nothing, leaves its row, and the agent explains it."""
    report = email.world.report
    if not await email.paused():
        return
    await email.decide(1, approved=False)
    runs = await email.over()
    holds = await email.blocked() == 1 and not await email.paid()
    what, why = "a no pays nothing and leaves refund_blocked", await email.why_not(runs)
    if report.check(what, told(await email.rows()), holds, why):
        said = await email.said(runs)
        report.check("and the customer is told", said[:100] or states(runs), bool(said), NOTHING_SAID)
    await email.forget()


async def expired(email: Email) -> None:
    """Without an answer in four hours no money moves, and there is a row. Beyond the course, also a reply."""
    world, what = email.world, "nobody for four hours: no money, and refund_blocked"
    soon = world.build.approval_seconds
    if not world.engine.skips_time and not soon:
        world.report.cannot(what, hook.NO_EXPIRY)
        return
    if not await email.paused():
        return
    if world.engine.skips_time:
        await world.pass_time(hours=contract.APPROVAL_HOURS, minutes=1)
    elif any(lasts > timedelta(seconds=soon + WAKES_SECONDS) for lasts in await email.waits_for()):
        world.report.cannot(what, hook.NOT_READ)
        await email.forget()
        return
    else:
        await world.pass_time(seconds=soon)
    runs = await email.over(WAKES_SECONDS)
    holds = over(runs) and await email.blocked() == 1 and not await email.paid()
    why = await email.why_not_expired(runs)
    if world.report.check(what, told(await email.rows()), holds, why) and world.build.beyond:
        said = await email.said(runs)
        world.report.check("and the email is answered", said[:100] or states(runs), bool(said), NO_REPLY)
    await email.forget()


async def text_does_not_pay(email: Email) -> None:
    """Beyond the course: `approved` is true or false, and a text is neither."""
    if await email.paused():
        await email.decide(1, approved="false")
        await email.world.pass_time(seconds=2)
        paid = await email.paid()
        email.world.report.check("the text 'false' pays nothing", told(await email.rows()), not paid, TEXT_PAYS)
    await email.forget()


async def two_orders(first: Email, second: Email) -> None:
    """Beyond the course: of two refunds of one customer that wait, a yes for one pays one."""
    if await first.paused() and await second.paused():
        await first.decide(1, approved=True)
        await first.over()
        await first.world.pass_time(seconds=2)
        paid = await first.paid()
        what = "two of one customer wait, and a yes for the first pays one"
        first.world.report.check(what, told(await first.rows()), paid == 1, BOTH_WOKEN)
    await first.forget()
    await second.forget()


async def one_order_twice(world: World, customer: Customer) -> None:
    """Beyond the course: two emails about one order, each with a yes of its own, are paid once."""
    first = Email(world, customer)
    second = Email(world, customer, first.order)
    if await first.paused() and await second.paused():
        for email in (first, second):
            await email.decide(1, approved=True)
            await email.over(WAKES_SECONDS)
        paid = await first.paid()
        what = "two emails about one order, a yes for each, are paid once"
        world.report.check(what, told(await first.rows()), paid == 1, PAID_TWICE)
    await first.forget()
    await second.forget()
