"""D5: no money moves before a person said yes."""

import secrets

from gates import contract
from gates.engine import Run
from gates.report import Advice
from gates.world import World, is_open, states, told

TITLE = "No money before a person said yes"
GATE = "human_gate"
WAKES_SECONDS = 20


class Email:
    """An email that asks for money, and what it has come to."""

    def __init__(self, world: World, customer: str) -> None:
        self.world = world
        self.customer = customer
        self.order = f"G-{secrets.randbelow(10**6):06}"
        self.event = ""
        self.before = 0

    @property
    def request_id(self) -> str:
        """What people are shown: the id of the event."""
        return self.world.own(self.order)

    async def paused(self) -> bool:
        """Send it; reports whether its run waits for a person and nothing was paid yet."""
        self.before = await self.world.rows.last()
        text = f"I was charged twice for order {self.order}. Please return the $19.00 that was too much."
        data = {"customer_id": self.customer, "email_text": text}
        self.event = await self.world.send(contract.EMAIL, data, self.order)
        runs, steps = await self.world.waiting(self.event)
        waits = [step.name for step in steps if is_open(step)]
        rows = await self.rows()
        if rows.get("refund_issued"):
            advice = Advice("the refund tool does not need approval: needs_approval=True", GATE)
        else:
            advice = Advice("the handler does not wait for an event when the agent pauses on a refund", GATE)
        return self.world.report.check(
            "an email that asks for a refund waits for a person, unpaid",
            f"{', '.join(waits) or states(runs)}; {told(rows)}",
            bool(waits) and not rows.get("refund_issued"),
            advice,
        )

    async def rows(self) -> dict[str, int]:
        """What was written about this customer since it was sent."""
        return await self.world.rows.actions(after=self.before, customer=self.customer)

    async def decide(self, number: int, *, approved: bool, customer: str | None = None) -> None:
        """Send a decision, under an id of its own."""
        data: dict[str, object] = {"approved": approved, "customer_id": customer or self.customer}
        if customer is None:
            data["request_id"] = self.request_id
        await self.world.send(contract.DECIDED, data, f"{self.order}-decision-{number}")

    async def over(self) -> list[Run]:
        """Its runs, when they have ended or time is up."""
        return await self.world.ended(self.event)

    async def why_not(self, runs: list[Run]) -> Advice:
        """The likeliest reason why a decision did not lead to what it should."""
        rows = await self.rows()
        steps = [step for run in runs for step in await self.world.engine.steps(run.id)]
        waits = [step for step in steps if step.waits]
        if any(is_open(step) for step in waits) and len(waits) > 1:
            return Advice("it asks for the same refund again: a fresh conversation instead of the saved state", GATE)
        if any(is_open(step) for step in waits):
            return Advice(
                "the decision wakes nobody: the event's name, the expression, or it was asked before it waited", GATE
            )
        if any(run.status == "FAILED" for run in runs):
            return Advice("resuming fails: open the run, its error is in the step after the wait", "retries")
        if not rows.get("refund_issued") and not rows.get("refund_blocked"):
            return Advice(
                "the context was lost on resume, so the tool fails and the model apologises: context_override=", GATE
            )
        return Advice("a branch of the decision leaves no row, or the wrong one", GATE)


async def check(world: World) -> None:
    """Approved, somebody else's yes, the yes twice, rejected, expired."""
    if not await world.functions_on(contract.EMAIL):
        return
    await approved(Email(world, "cust_002"))
    await rejected(Email(world, "cust_003"))
    await expired(Email(world, "cust_004"))


async def approved(email: Email) -> None:
    """A yes pays once; one for somebody else pays nothing."""
    report, world = email.world.report, email.world
    if not await email.paused():
        return
    await email.decide(0, approved=True, customer="cust_005")
    await world.pass_time(seconds=2)
    rows = await email.rows()
    report.check(
        "a yes for another customer moves nothing", told(rows), not rows.get("refund_issued"),
        Advice("the wait takes any decision: match async.data against event.data", GATE),
    )  # fmt: skip
    await email.decide(1, approved=True)
    runs = await email.over()
    rows = await email.rows()
    right = rows == {"message_received": 1, "refund_issued": 1, "message_sent": 1}
    if not report.check("a yes pays once and the email is answered", told(rows), right, await email.why_not(runs)):
        return
    await email.decide(2, approved=True)
    await world.pass_time(seconds=2)
    rows = await email.rows()
    report.check(
        "the yes again pays nothing more", told(rows), rows.get("refund_issued") == 1,
        Advice("only the event stands between yes and money: one payment per order, in the ledger", "idempotency"),
    )  # fmt: skip


async def rejected(email: Email) -> None:
    """A no pays nothing and is answered."""
    if not await email.paused():
        return
    await email.decide(1, approved=False)
    runs = await email.over()
    rows = await email.rows()
    email.world.report.check(
        "a no pays nothing, leaves refund_blocked, and the email is answered", told(rows),
        rows == {"message_received": 1, "refund_blocked": 1, "message_sent": 1}, await email.why_not(runs),
    )  # fmt: skip


async def expired(email: Email) -> None:
    """Nobody says anything."""
    report, what = email.world.report, "nobody for four hours: no money, refund_blocked, and a reply"
    if not email.world.engine.skips_time:
        report.cannot(what, "this engine's clock cannot be moved; a stand-in's can")
        return
    if not await email.paused():
        return
    await email.world.pass_time(hours=contract.WAITS_FOR_PEOPLE_HOURS, minutes=1)
    runs = await email.world.ended(email.event, WAKES_SECONDS)
    rows = await email.rows()
    if rows.get("refund_issued"):
        advice = Advice("silence pays: the branch for None must not approve", GATE)
    elif any(not run.over for run in runs):
        steps = [step for run in runs for step in await email.world.engine.steps(run.id)]
        advice = (
            Advice("the wait is longer than four hours, or it waits again for ever", "sleep_and_wait")
            if any(is_open(step) for step in steps)
            else Advice("no branch for the timeout: wait_for_event returns None, and the code fails on it", GATE)
        )
    else:
        advice = Advice("no branch for the timeout: wait_for_event returns None", GATE)
    report.check(what, told(rows), rows == {"message_received": 1, "refund_blocked": 1, "message_sent": 1}, advice)
