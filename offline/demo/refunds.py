"""D5, the approval of refunds: a person says yes, or says no, or says nothing. Only a yes moves money."""

from datetime import timedelta

from offline import emails
from offline.demo.act import Acts, listed
from offline.demo.stage import Seen
from offline.emails import Email


class Refunds(Acts):
    """The acts in which an email asks for money."""

    async def approved(self) -> None:
        """D5: a refund waits for a person while the app is killed, and is then approved."""
        stage, email = self.stage, emails.CHARGED_TWICE
        await stage.begin("D5", "A refund waits for a person; meanwhile the app is killed")
        event = await self._paused(email)
        stage.stack.processes.kill(stage.stack.app)
        stage.note("app", "app killed", f"SIGKILL, process {stage.stack.app.pid}")
        await stage.stack.start_app()
        stage.note("app", "app started", f"process {stage.stack.app.pid}; the run still waits")
        await stage.look()
        waiting = [row["status"] for row in stage.seen.refunds]
        issued = (await self.actions(email))["refund_issued"]
        unpaid = waiting == ["pending"] and issued == 0
        self.claims.check(
            "D5", "No money before the yes, nor by SIGKILL", f"{listed(waiting)}, {issued} issued", unpaid
        )
        await stage.decide(email, approved=True)
        seen = await self.handled(event, "the run goes on after the yes and the email is answered")
        await stage.reply(email)
        runs = len(seen.of(event))
        ledger = [row["status"] for row in await stage.records.refunds(stage.customers[email.customer])]
        measured, went_on = f"{runs} run, ledger: {listed(ledger)}", runs == 1 and ledger == ["issued"]
        self.claims.check("D5", "The waiting run goes on after the kill", measured, went_on)
        rows = await self.actions(email)
        self.claim(
            "D5", "Approved: refunded once, answered once", rows, refund_issued=1, message_received=1, message_sent=1
        )

    async def rejected(self) -> None:
        """D5: a person says no."""
        stage, email = self.stage, emails.OVERCHARGED
        await stage.begin("D5", "A refund is rejected")
        event = await self._paused(email)
        await stage.decide(email, approved=False, reason="the price on the page was correct")
        await self.handled(event, "the run goes on after the no and the email is answered")
        await self._no_money("Rejected", email)

    async def unanswered(self) -> None:
        """D5: nobody decides for four hours."""
        stage, email = self.stage, emails.FAILED_ORDER
        if not stage.engine.skips_time:
            reason = "skipped, because an official server's clock cannot be moved"
            stage.timeline.begin("D5", f"Nobody answers for four hours: {reason}")
            return
        await stage.begin("D5", "Nobody answers for four hours")
        event = await self._paused(email)
        await stage.advance(timedelta(hours=4, seconds=1), "nobody has decided")
        await self.handled(event, "the run goes on without a decision and the email is answered")
        await self._no_money("Nobody for 4 h", email)

    async def _paused(self, email: Email) -> str:
        """Send an email and wait until its run waits for a person. Returns the event's id."""
        event = await self.stage.email(email)

        def waits(seen: Seen) -> bool:
            steps = [run.step("await-refund-approval") for run in seen.of(event)]
            waiting = any(step and not step.attempts[-1].ended for step in steps)
            return waiting and any(refund["status"] == "pending" for refund in seen.refunds)

        await self.stage.until("the agent asks for a refund and its run waits for a person", waits)
        return event

    async def _no_money(self, what: str, email: Email) -> None:
        await self.stage.reply(email)
        rows = await self.actions(email)
        self.claim("D5", f"{what}: no money, but a reply", rows, refund_issued=0, refund_blocked=1, message_sent=1)
