"""D5: no money moves before a person has approved it."""

import secrets

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.world import World, states, told

TITLE = "No money before a person has approved it"
CONCEPT = "human_gate"
WAKES_SECONDS = 20
NO_APPROVAL = Advice("the refund tool does not need approval: needs_approval=True", CONCEPT)
NO_WAIT = Advice("the handler does not wait for an event when the agent pauses on a refund", CONCEPT)
ANYBODYS_YES = Advice("the wait takes any decision: match async.data against event.data", CONCEPT)
PAID_TWICE = Advice(
    "only the event stands between yes and money: one payment per decision, in the ledger", "idempotency"
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
SILENCE_PAYS = Advice("silence pays: the branch for None must not approve", CONCEPT)
WAITS_LONGER = Advice("the wait is longer than four hours, or it waits again for ever", "sleep_and_wait")
NO_TIMEOUT = Advice("no branch for the timeout: wait_for_event returns None, and the code fails on it", CONCEPT)
NO_REPLY = Advice("the branch for the timeout ends the run: the customer is never told that no money comes", CONCEPT)


class Email:
    """An email that asks for a refund, and what has come of it."""

    def __init__(self, world: World, customer: str) -> None:
        self.world = world
        self.customer = customer
        self.order = f"G-{secrets.randbelow(10**6):06}"
        self.event = ""
        self.before = 0

    async def paused(self) -> bool:
        """Send it. Reports whether its run waits for a person and nothing was paid yet."""
        self.before = await self.world.rows.last()
        text = f"I was charged twice for order {self.order}. Please return the $19.00 that was too much."
        data = {"customer_id": self.customer, "email_text": text}
        self.event = await self.world.send(contract.EMAIL, data, self.order)
        runs, steps = await self.world.waiting(self.event)
        waits = [step.name for step in steps if step.waits_now]
        rows = await self.rows()
        cause = NO_WAIT
        if "refund_issued" in rows:
            cause = NO_APPROVAL
        return self.world.report.check(
            "an email that asks for a refund waits for a person, unpaid",
            f"{', '.join(waits) or states(runs)}; {told(rows)}",
            bool(waits) and "refund_issued" not in rows,
            cause,
        )

    async def rows(self) -> dict[str, int]:
        """How often each action was written for this customer since the email was sent."""
        return await self.world.rows.actions(after=self.before, customer=self.customer)

    async def decide(self, number: int, *, approved: bool, customer: str | None = None) -> None:
        """Send a decision for this email, or one for another customer. Each `number` is another event."""
        data: dict[str, object] = {"approved": approved, "customer_id": customer or self.customer}
        if customer is None:
            data["request_id"] = self.world.own(self.order)
        await self.world.send(contract.DECIDED, data, f"{self.order}-decision-{number}")

    async def over(self, seconds: float = 0) -> list[Run]:
        """Its runs, as soon as they have ended or the time is up."""
        return await self.world.ended(self.event, seconds)

    async def why_not(self, runs: list[Run]) -> Advice:
        """The likeliest reason why a decision did not lead to the rows that it should."""
        rows = await self.rows()
        waits = [step for step in await self.world.steps(runs) if step.waits]
        if any(step.waits_now for step in waits):
            if len(waits) > 1:
                return ASKED_AGAIN
            return NOT_WOKEN
        if any(run.status == "FAILED" for run in runs):
            return RESUME_FAILS
        if "refund_issued" not in rows and "refund_blocked" not in rows:
            return LOST_CONTEXT
        return WRONG_ROW

    async def why_not_expired(self, runs: list[Run]) -> Advice:
        """The likeliest reason why four hours without an answer did not lead to the row that they should."""
        if "refund_issued" in await self.rows():
            return SILENCE_PAYS
        if any(step.waits_now for step in await self.world.steps(runs)):
            return WAITS_LONGER
        return NO_TIMEOUT


async def check(world: World) -> None:
    """Ask for three refunds: one is approved, one rejected, and for one nobody answers."""
    if not await world.functions_on(contract.EMAIL):
        return
    await approved(Email(world, "cust_002"))
    await rejected(Email(world, "cust_003"))
    await expired(Email(world, "cust_004"))


async def approved(email: Email) -> None:
    """An approval pays once, however often it comes. One for another customer pays nothing."""
    world, report = email.world, email.world.report
    if not await email.paused():
        return
    await email.decide(0, approved=True, customer="cust_005")
    await world.pass_time(seconds=2)
    rows = await email.rows()
    report.check("a yes for another customer moves nothing", told(rows), "refund_issued" not in rows, ANYBODYS_YES)
    await email.decide(1, approved=True)
    runs = await email.over()
    rows = await email.rows()
    paid = rows == {"message_received": 1, "refund_issued": 1, "message_sent": 1}
    if not report.check("a yes pays once and the email is answered", told(rows), paid, await email.why_not(runs)):
        return
    await email.decide(2, approved=True)
    await world.pass_time(seconds=2)
    rows = await email.rows()
    report.check("the yes again pays nothing more", told(rows), rows["refund_issued"] == 1, PAID_TWICE)


async def rejected(email: Email) -> None:
    """A rejection pays nothing, leaves its row, and the customer is answered."""
    if not await email.paused():
        return
    await email.decide(1, approved=False)
    runs = await email.over()
    rows = await email.rows()
    email.world.report.check(
        "a no pays nothing, leaves refund_blocked, and the email is answered",
        told(rows),
        rows == {"message_received": 1, "refund_blocked": 1, "message_sent": 1},
        await email.why_not(runs),
    )


async def expired(email: Email) -> None:
    """Without an answer in four hours no money moves, and there is a row. Beyond the course, also a reply."""
    world, what = email.world, "nobody for four hours: no money, and refund_blocked"
    if not world.engine.skips_time:
        world.report.cannot(what, "this engine's clock cannot be moved; a stand-in's can")
        return
    if not await email.paused():
        return
    await world.pass_time(hours=contract.APPROVAL_HOURS, minutes=1)
    runs = await email.over(WAKES_SECONDS)
    rows = await email.rows()
    blocked = rows.get("refund_blocked") == 1 and "refund_issued" not in rows
    if not world.report.check(what, told(rows), blocked, await email.why_not_expired(runs)):
        return
    if world.beyond:
        answered = rows == {"message_received": 1, "refund_blocked": 1, "message_sent": 1}
        world.report.check("and the email is answered", told(rows), answered, NO_REPLY)
