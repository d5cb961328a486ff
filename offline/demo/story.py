"""The course's story, act by act: what is sent, what is broken, what is waited for, and what is claimed about it.

Every claim is measured in Postgres or in the engine's traces. None is concluded from a setting or from a reply's text.
"""

import io
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from gates.__main__ import GATES, run
from gates.report import Report
from gates.world import Build
from offline import emails
from offline.demo.act import CHECK, CRON, Acts, listed, over
from offline.demo.burst import Burst
from offline.demo.claims import Claims
from offline.demo.refunds import Refunds
from offline.demo.stage import Seen, Stage

RETRY_SECONDS = 90.0
GATE_PATIENCE_SECONDS = 60.0
CALM_LOOKS = 20


class Story(Acts):
    """All acts. `broken` holds the settings under which the app's agent step fails."""

    def __init__(self, stage: Stage, claims: Claims, broken: Mapping[str, str]) -> None:
        super().__init__(stage, claims)
        self.broken = broken

    @property
    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """The acts in the order in which they are played."""
        refunds, burst = Refunds(self.stage, self.claims), Burst(self.stage, self.claims)
        return [
            self.answered,
            refunds.approved,
            refunds.rejected,
            refunds.unanswered,
            self.fanned_out,
            burst.burst,
            self.broke,
            self.judged,
        ]

    async def answered(self) -> None:
        """D2: a plain email."""
        stage, email = self.stage, emails.QUESTION
        await stage.begin("D2", "An email is answered")
        await self.handled(await stage.email(email), "the email is answered")
        await stage.reply(email)
        rows = await self.actions(email)
        self.claim("D2", "Email received once, answered once", rows, message_received=1, message_sent=1)

    async def fanned_out(self) -> None:
        """D3: the morning's cron, and then its events once more."""
        stage = self.stage
        await stage.begin("D3", "Nine o'clock: one health check for each pro and enterprise customer")
        eligible = await stage.records.eligible()
        await self._start_the_cron()
        await stage.until(
            "three health checks", lambda seen: over(seen, CRON) >= 1 and over(seen, CHECK) >= len(eligible)
        )
        checked = await self._checked()
        names = listed(self._name(customer) for customer in checked)
        self.claims.check("D3", "Cron: exactly the eligible customers", names, checked == eligible)
        events = await stage.engine.sent("customer/health_check.requested", len(eligible))
        again = f"{len(events)} health checks again"
        stage.note("event", again, "the same events, as a tick delivered twice sends them")
        await stage.engine.send(*events)
        await self._quiet()
        checked = await self._checked()
        once = len(events) == len(eligible) and checked == eligible
        self.claims.check("D3", "Delivered twice: still one row for each", f"{len(checked)} health_check rows", once)

    async def _start_the_cron(self) -> None:
        """Move the clock to nine, or invoke the function where the clock cannot be moved."""
        stage = self.stage
        if stage.engine.skips_time:
            now = stage.engine.now()
            nine = now.replace(hour=9, minute=0, second=0, microsecond=0)
            if nine <= now:
                nine += timedelta(days=1)
            await stage.advance(nine - now + timedelta(milliseconds=50), "the cron's time, 09:00 UTC")
        else:
            stage.note("clock", "now", "an official server's clock cannot be moved: the function is invoked")
            await stage.engine.invoke(f"customer-support-{CRON}")

    async def broke(self) -> None:
        """D6: the agent step breaks, and is fixed."""
        stage, email = self.stage, emails.BROKEN_AGENT
        await stage.begin("D6", "The agent step is broken, then fixed")
        await stage.stack.restart_app(**self.broken)
        stage.note("app", "app restarted", "its model does not answer")
        event = await stage.email(email)
        await stage.until("a failed attempt of run-agent", lambda seen: _failures(seen, event) >= 1)
        if stage.engine.skips_time:
            await stage.advance(timedelta(seconds=30), "the first retry is due")
            await stage.until("a second failed attempt", lambda seen: _failures(seen, event) > 1)
        rows, failed = await self.actions(email), _failures(stage.seen, event)
        measured = f"{failed} failed, {rows['message_received']} received"
        held = rows["message_received"] == 1 and rows["message_sent"] == 0
        self.claims.check("D6", "Broken step tried again, the others not", measured, held)
        await stage.stack.restart_app()
        stage.note("app", "app restarted", "its model answers again")
        if stage.engine.skips_time:
            await stage.advance(timedelta(minutes=2), "the next retry is due")
        seen = await self.handled(event, "the fixed step lets the run end", patience=RETRY_SECONDS)
        await stage.reply(email)
        runs, failures = seen.of(event), _failures(seen, event)
        step = runs[0].step("run-agent")
        status = step.status.lower() if step else "missing"
        recovered = len(runs) == 1 and failures >= failed and status == "completed"
        measured = f"{failures} failed, then {status}"
        self.claims.check("D6", "Fixed: the same run recovers by itself", measured, recovered)
        rows = await self.actions(email)
        self.claim("D6", "At last: received once, answered once", rows, message_received=1, message_sent=1)

    async def judged(self) -> None:
        """D0 to D6: the course's gates, on the app as it is now."""
        stage = self.stage
        await stage.begin("D0-6", "The course's gates, which check any learner's build")
        await stage.records.add_customers()
        report = Report(io.StringIO())
        names = [name for name in GATES if name != "quick-win"]
        stack = stage.stack
        build = Build(
            stage.engine.url,
            stack.postgres.url,
            patience=GATE_PATIENCE_SECONDS,
            limits=(10, 2, int(stack.settings["EMAIL_THROTTLE_PER_MINUTE"])),
            environment=stack.settings,
        )
        await run(names, build, report)
        for name in names:
            passed = [finding for finding in report.findings if finding.gate == name.upper() and finding.passed]
            stage.note("event", f"python -m gates {name}", f"{len(passed)} hold")
        for finding in report.failed:
            stage.note("event", finding.gate, f"{finding.what}: {finding.seen}")
        checked = [finding for finding in report.findings if finding.passed is not None]
        measured = f"{len(checked) - len(report.failed)} of {len(checked)} hold"
        self.claims.check("All", "The course's gates, D0 to D6", measured, bool(checked) and not report.failed)

    async def _checked(self) -> list[str]:
        rows = await self.stage.records.audit(self.stage.since)
        return sorted(row["customer_id"] for row in rows if row["action"] == "health_check")

    async def _quiet(self) -> None:
        """Wait until no health check runs any more, so that a row too many would be there by now."""
        if self.stage.engine.skips_time:
            await self.stage.advance(timedelta(seconds=1), "nothing more is due")
            return
        calm = 0

        def calmed(seen: Seen) -> bool:
            nonlocal calm
            calm = calm + 1 if all(run.over for run in seen.runs if run.function == CHECK) else 0
            return calm > CALM_LOOKS

        await self.stage.until("an end of the fan-out", calmed)

    def _name(self, customer_id: str) -> str:
        return next(name.capitalize() for name, known in self.stage.customers.items() if known == customer_id)


def _failures(seen: Seen, event: str) -> int:
    """Return how many attempts of the agent step have failed in the event's runs."""
    steps = [run.step("run-agent") for run in seen.of(event)]
    return sum(len(step.failures) for step in steps if step)
