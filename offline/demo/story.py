"""The course's story, act by act: what is sent, what is broken, what is waited for, and what is claimed about it.

Every claim is measured, in Postgres or in the engine's traces; none is inferred from configuration or from a reply.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from rich.console import Console

from gates.__main__ import GATES, run
from gates.report import Report
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
    """All acts. `broken` are the settings under which the app's agent step fails."""

    def __init__(self, stage: Stage, claims: Claims, broken: Mapping[str, str]) -> None:
        super().__init__(stage, claims)
        self.broken = broken

    @property
    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """In the order in which they are played."""
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
        """D3: the morning's cron."""
        stage = self.stage
        await stage.begin("D3", "Nine o'clock: one health check for each pro and enterprise customer")
        eligible = await stage.records.eligible()
        if stage.engine.skips_time:
            now = stage.engine.now()
            nine = now.replace(hour=9, minute=0, second=0, microsecond=0)
            nine += timedelta(days=1) if nine <= now else timedelta()
            await stage.advance(nine - now + timedelta(milliseconds=50), "the cron's time, 09:00 UTC")
        else:
            stage.note("clock", "now", "an official server's clock cannot be moved: the function is invoked")
            await stage.engine.invoke(f"customer-support-{CRON}")
        await stage.until(
            "three health checks", lambda seen: over(seen, CRON) >= 1 and over(seen, CHECK) >= len(eligible)
        )
        checked = await self._checked()
        self.claims.check(
            "D3", "Cron: exactly the eligible customers",
            listed(self._name(customer) for customer in sorted(checked)), sorted(checked) == eligible,
        )  # fmt: skip
        events = await stage.engine.sent("customer/health_check.requested", len(eligible))
        stage.note(
            "event", f"{len(events)} health checks again", "the same events, as a tick delivered twice sends them"
        )
        await stage.engine.send(*events)
        await self._quiet()
        again = await self._checked()
        self.claims.check(
            "D3", "Delivered twice: still one row for each",
            f"{len(again)} health_check rows", len(events) == len(eligible) and sorted(again) == eligible,
        )  # fmt: skip

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
            await stage.until("a second failed attempt", lambda seen: _failures(seen, event) >= 2)  # noqa: PLR2004
        rows = await self.actions(email)
        failed = _failures(stage.seen, event)
        self.claims.check(
            "D6", "Broken step tried again, the others not",
            f"{failed} failed, {rows['message_received']} received",
            rows["message_received"] == 1 and not rows["message_sent"],
        )  # fmt: skip
        await stage.stack.restart_app()
        stage.note("app", "app restarted", "its model answers again")
        if stage.engine.skips_time:
            await stage.advance(timedelta(minutes=2), "the next retry is due")
        seen = await self.handled(event, "the fixed step lets the run end", patience=RETRY_SECONDS)
        await stage.reply(email)
        runs = seen.of(event)
        step = runs[0].step("run-agent")
        failures, status = (len(step.failures), step.status.lower()) if step else (0, "missing")
        self.claims.check(
            "D6", "Fixed: the same run recovers by itself", f"{failures} failed, then {status}",
            len(runs) == 1 and failures >= failed and status == "completed",
        )  # fmt: skip
        self.claim("D6", "At last: received once, answered once", await self.actions(email),
                    message_received=1, message_sent=1)  # fmt: skip

    async def judged(self) -> None:
        """All: the course's gates, on the app as it stands now."""
        stage = self.stage
        await stage.begin("D0-6", "The course's gates, which check any learner's build")
        await stage.records.add_customers()
        report = Report(Console(file=io.StringIO()))
        names = [name for name in GATES if name != "quick-win"]
        await run(names, stage.engine.url, stage.stack.postgres.url, report, GATE_PATIENCE_SECONDS)
        for name in names:
            found = [finding for finding in report.findings if finding.gate == name.upper()]
            stage.note("event", f"python -m gates {name}", f"{sum(1 for each in found if each.passed)} hold")
        for finding in report.failed:
            stage.note("event", finding.gate, f"{finding.what}: {finding.seen}")
        checked = [finding for finding in report.findings if finding.passed is not None]
        self.claims.check(
            "All", "The course's gates, D0 to D6", f"{len(checked) - len(report.failed)} of {len(checked)} hold",
            bool(checked) and not report.failed,
        )  # fmt: skip

    async def _checked(self) -> list[str]:
        rows = await self.stage.records.audit(self.stage.since)
        return [row["customer_id"] for row in rows if row["action"] == "health_check"]

    async def _quiet(self) -> None:
        """Wait until nothing of the fan-out runs any more, so that a row too many would be there by now."""
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
    steps = [run.step("run-agent") for run in seen.of(event)]
    return sum(len(step.failures) for step in steps if step)
