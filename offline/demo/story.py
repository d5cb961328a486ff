"""The course's story, act by act: what is sent, what is broken, what is waited for, and what is claimed about it.

Every claim is measured, in Postgres or in the engine's traces; none is inferred from configuration or from a reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta

from offline import emails
from offline.demo.claims import Claims, peak
from offline.demo.stage import ActError, Seen, Stage
from offline.demo.timeline import Line
from offline.demo.trace import Run
from offline.emails import Email

HANDLER, CRON, CHECK = "handle-customer-email", "daily-health-check", "customer-health-check"
LIMIT, LIMIT_PER_CUSTOMER = 10, 2
RETRY_SECONDS = 90.0


class Story:
    """The acts. `broken` are the settings under which the app's agent step fails."""

    def __init__(self, stage: Stage, claims: Claims, broken: Mapping[str, str]) -> None:
        self.stage = stage
        self.claims = claims
        self.broken = broken

    @property
    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """In the order in which they are played."""
        return [self.answered, self.approved, self.rejected, self.unanswered, self.fanned_out, self.burst, self.broke]

    async def answered(self) -> None:
        """D2: a plain email."""
        stage, email = self.stage, emails.QUESTION
        await stage.begin("D2", "An email is answered")
        await self._handled(await stage.email(email), "the email is answered")
        await stage.reply(email)
        rows = await self._actions(email)
        self._claim("D2", "Email received once, answered once", rows, message_received=1, message_sent=1)

    async def approved(self) -> None:
        """D5: a refund waits for a person while the app is killed."""
        stage, email = self.stage, emails.CHARGED_TWICE
        await stage.begin("D5", "A refund waits for a person; meanwhile the app is killed")
        event = await self._paused(email)
        stage.stack.processes.kill(stage.stack.app)
        stage.note("app", "app killed", f"SIGKILL, process {stage.stack.app.pid}")
        await stage.stack.start_app()
        stage.note("app", "app started", f"process {stage.stack.app.pid}; the run still waits")
        await stage.look()
        waiting = [row["status"] for row in stage.seen.refunds]
        rows = await self._actions(email)
        self.claims.check(
            "D5", "No money before the yes, nor by SIGKILL",
            f"{_list(waiting)}, {rows['refund_issued']} issued",
            waiting == ["pending"] and not rows["refund_issued"],
        )  # fmt: skip
        await stage.decide(email, approved=True)
        seen = await self._handled(event, "the run goes on after the yes and the email is answered")
        await stage.reply(email)
        rows = await self._actions(email)
        ledger = [row["status"] for row in await stage.records.refunds(stage.customers[email.customer])]
        runs = len(seen.of(event))
        self.claims.check(
            "D5", "The waiting run goes on after the kill",
            f"{runs} run, ledger: {_list(ledger)}", runs == 1 and ledger == ["issued"],
        )  # fmt: skip
        self._claim("D5", "Approved: refunded once, answered once", rows,
                    refund_issued=1, message_received=1, message_sent=1)  # fmt: skip

    async def rejected(self) -> None:
        """D5: a person says no."""
        stage, email = self.stage, emails.OVERCHARGED
        await stage.begin("D5", "A refund is rejected")
        event = await self._paused(email)
        await stage.decide(email, approved=False, reason="the price on the page was correct")
        await self._handled(event, "the run goes on after the no and the email is answered")
        await self._no_money("Rejected", email)

    async def unanswered(self) -> None:
        """D5: nobody says anything for four hours."""
        stage, email = self.stage, emails.FAILED_ORDER
        if not stage.engine.skips_time:
            reason = "skipped, because an official server's clock cannot be moved"
            stage.timeline.begin("D5", f"Nobody answers for four hours: {reason}")
            return
        await stage.begin("D5", "Nobody answers for four hours")
        event = await self._paused(email)
        await stage.advance(timedelta(hours=4, seconds=1), "nobody has decided")
        await self._handled(event, "the run goes on without a decision and the email is answered")
        await self._no_money("Nobody for 4 h", email)

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
        await stage.until("three health checks", lambda seen: _over(seen, CRON, 1) and _over(seen, CHECK, 3))
        checked = await self._checked()
        self.claims.check(
            "D3", "Cron: exactly the eligible customers",
            _list(self._name(customer) for customer in sorted(checked)), sorted(checked) == eligible,
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

    async def burst(self) -> None:
        """D4: twenty emails at once."""
        stage = self.stage
        await stage.begin("D4", "Twenty emails from five customers at once")
        sent = await stage.emails(emails.BURST)
        events = {event: email.customer for event, email in zip(sent, emails.BURST, strict=True)}
        seen = await stage.until(
            "twenty emails answered",
            lambda seen: _over(seen, HANDLER, len(events)),
            look=lambda seen: _lanes(seen, events),
            patience=stage.patience * 2,
        )
        rows = await stage.records.actions(stage.since)
        self._claim("D4", "20 emails: received once, answered once", rows, message_received=20, message_sent=20)
        lanes = _by_customer(seen, events)
        total = peak(span for runs in lanes.values() for run in runs for span in run.busy)
        each = {customer: peak(span for run in runs for span in run.busy) for customer, runs in lanes.items()}
        self.claims.check("D4", f"At most {LIMIT} at once", f"peak {total}", LIMIT_PER_CUSTOMER < total <= LIMIT)
        self.claims.check(
            "D4", f"At most {LIMIT_PER_CUSTOMER} of one customer at once",
            "peaks " + _list(map(str, each.values())),
            all(0 < count <= LIMIT_PER_CUSTOMER for count in each.values()),
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
        rows = await self._actions(email)
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
        seen = await self._handled(event, "the fixed step lets the run end", patience=RETRY_SECONDS)
        await stage.reply(email)
        runs = seen.of(event)
        step = runs[0].step("run-agent")
        failures, status = (len(step.failures), step.status.lower()) if step else (0, "missing")
        self.claims.check(
            "D6", "Fixed: the same run recovers by itself", f"{failures} failed, then {status}",
            len(runs) == 1 and failures >= failed and status == "completed",
        )  # fmt: skip
        self._claim("D6", "At last: received once, answered once", await self._actions(email),
                    message_received=1, message_sent=1)  # fmt: skip

    async def _paused(self, email: Email) -> str:
        """Send an email and wait until its run waits for a person. Returns the event's id."""
        event = await self.stage.email(email)

        def waits(seen: Seen) -> bool:
            steps = [run.step("await-refund-approval") for run in seen.of(event)]
            return any(step and not step.attempts[-1].ended for step in steps) and any(
                r["status"] == "pending" for r in seen.refunds
            )

        await self.stage.until("the agent asks for a refund and its run waits for a person", waits)
        return event

    async def _handled(self, event: str, expected: str, patience: float | None = None) -> Seen:
        """Wait until the event's run is over."""
        return await self.stage.until(
            expected, lambda seen: any(run.status == "COMPLETED" for run in seen.of(event)), patience=patience
        )

    async def _actions(self, email: Email) -> Mapping[str, int]:
        return await self.stage.records.actions(self.stage.since, self.stage.customers[email.customer])

    async def _no_money(self, what: str, email: Email) -> None:
        await self.stage.reply(email)
        self._claim("D5", f"{what}: no money, but a reply", await self._actions(email),
                    refund_issued=0, refund_blocked=1, message_sent=1)  # fmt: skip

    def _claim(self, decision: str, text: str, rows: Mapping[str, int], **expected: int) -> None:
        measured = {name: rows[name] for name in expected}
        self.claims.check(decision, text, _counts(measured), measured == expected)

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
            return calm > 20  # noqa: PLR2004 (looks in a row, two seconds)

        await self.stage.until("an end of the fan-out", calmed)

    def _name(self, customer_id: str) -> str:
        return next(name.capitalize() for name, known in self.stage.customers.items() if known == customer_id)


def _over(seen: Seen, function: str, count: int) -> bool:
    return sum(run.over for run in seen.runs if run.function == function) >= count


def _failures(seen: Seen, event: str) -> int:
    steps = [run.step("run-agent") for run in seen.of(event)]
    return sum(len(step.failures) for step in steps if step)


def _by_customer(seen: Seen, events: Mapping[str, str]) -> dict[str, list[Run]]:
    lanes: dict[str, list[Run]] = {customer: [] for customer in events.values()}
    for event, customer in events.items():
        lanes[customer] += seen.of(event)
    return lanes


def _lanes(seen: Seen, events: Mapping[str, str]) -> Iterable[Line]:
    """One line per customer: what their emails are at, and how many were worked on at once."""
    for customer, runs in _by_customer(seen, events).items():
        if runs:
            signs = "".join("✓" if run.status == "COMPLETED" else "✗" if run.over else "▸" for run in runs)
            busy = peak(span for run in runs for span in run.busy)
            done = all(run.over for run in runs) and len(runs) == list(events.values()).count(customer)
            detail = f"{signs}   at most {busy} at once"
            yield Line(f"lane-{customer}", runs[0].queued, "done" if done else "running", customer.capitalize(), detail)


def _counts(rows: Mapping[str, int]) -> str:
    """Without the first word of message_sent, refund_issued and their like, which the claim beside it says."""
    return ", ".join(f"{count} {name.partition('_')[2]}" for name, count in rows.items())


def _list(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"


__all__ = ["ActError", "Story"]
