"""The stage of the demo: it sends events, watches engine and ledger, and shows what it sees on the timeline."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gates.spans import Step
from offline.demo.engine import Engine, Event
from offline.demo.records import Records
from offline.demo.timeline import Line, Timeline
from offline.demo.trace import Run
from offline.emails import Email
from offline.stack import Stack

SHOWN = {"handle-customer-email", "daily-health-check", "customer-health-check"}
POLL_SECONDS = 0.1
SEVERAL_MINUTES = 300


class ActError(RuntimeError):
    """An act has failed. The text says what was expected and what was seen."""


@dataclass
class Seen:
    """The runs and refunds of the act, as the engine and the ledger showed them at the last look."""

    runs: list[Run] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    """The first name of the customer that a run wrote an audit row for, by the run's id."""

    def of(self, event_id: str) -> list[Run]:
        """Return the runs that this event started."""
        return [run for run in self.runs if event_id in run.event_ids]

    def __str__(self) -> str:
        runs = [
            f"{run.function} {run.status.lower()} ({', '.join(f'{s.name} {s.status.lower()}' for s in run.steps)})"
            for run in self.runs
            if run.function in SHOWN
        ]
        refunds = [f"refund {row['order_id']} {row['status']}" for row in self.refunds]
        return "; ".join([*runs, *refunds]) or "nothing"


Look = Callable[[Seen], Iterable[Line]]


class Stage:
    """Plays one act after the other. An act fails when something takes longer than `patience`, in seconds."""

    def __init__(self, stack: Stack, engine: Engine, records: Records, timeline: Timeline, patience: float) -> None:
        self.stack = stack
        self.engine = engine
        self.records = records
        self.timeline = timeline
        self.patience = patience
        self.customers: dict[str, str] = {}
        self.since = 0
        """The id of the newest audit row before the act. The act's own rows are newer."""
        self.seen = Seen()
        self._began = engine.now()
        self._old_refunds = 0
        self._lines = 0

    async def begin(self, decision: str, title: str) -> None:
        """Begin an act. Runs and rows that exist by now are not part of it."""
        self.customers = await self.records.customers()
        self.since = await self.records.mark()
        self._old_refunds = max((row["id"] for row in await self.records.refunds()), default=0)
        self._began = self.engine.now() - timedelta(milliseconds=1)
        self.seen = Seen()
        self.timeline.begin(decision, title)

    def note(self, mark: str, name: str, detail: str = "", key: str | None = None) -> None:
        """Show something that only the story knows. A second note with the same `key` replaces the first."""
        self._lines += 1
        self.timeline.put(Line(key or f"note-{self._lines}", self.engine.now(), mark, name, detail))

    async def email(self, email: Email) -> str:
        """Send a customer's email. Returns the event's id in the engine."""
        said = f"{email.customer.capitalize()}: {' '.join(email.text.split())}"
        self.note("event", "customer/email.received", said)
        return (await self._emails([email]))[0]

    async def emails(self, several: list[Email]) -> list[str]:
        """Send several emails in one request. Returns the events' ids in the same order."""
        self.note("event", "customer/email.received", f"{len(several)} times")
        return await self._emails(several)

    async def _emails(self, several: list[Email]) -> list[str]:
        events = []
        for email in several:
            data = {"customer_id": self.customers[email.customer], "email_text": email.text}
            events.append(Event("customer/email.received", data))
        return await self.engine.send(*events)

    async def decide(self, email: Email, *, approved: bool, reason: str | None = None) -> None:
        """Send the course's event, which names the customer and no request."""
        data: dict[str, Any] = {"approved": approved, "customer_id": self.customers[email.customer]}
        if reason:
            data["rejection_message"] = reason
        said = ", ".join(f"{name}: {json.dumps(value)}" for name, value in data.items())
        self.note("event", "refund/approval.decided", said)
        await self.engine.send(Event("refund/approval.decided", data))

    async def until(
        self, expected: str, holds: Callable[[Seen], bool], *, look: Look | None = None, patience: float | None = None
    ) -> Seen:
        """Watch until it holds. Raises ActError with `expected`, a phrase, when `patience` (in seconds) is over."""
        deadline = asyncio.get_running_loop().time() + (patience or self.patience)
        while True:
            await self.look(look)
            if holds(self.seen):
                return self.seen
            if not self.stack.app.running:
                raise ActError(f"expected: {expected}\nseen: the app ended by itself")
            if asyncio.get_running_loop().time() > deadline:
                raise ActError(f"expected: {expected}\nseen: {self.seen}")
            await asyncio.sleep(POLL_SECONDS)

    async def look(self, look: Look | None = None) -> None:
        """Look at the engine and the ledger once, and show what has changed."""
        runs = await self.engine.runs(self._began)
        refunds = [row for row in await self.records.refunds() if row["id"] > self._old_refunds]
        names = {customer_id: name.capitalize() for name, customer_id in self.customers.items()}
        about = {row["run_id"]: names[row["customer_id"]] for row in await self.records.audit(self.since)}
        self.seen = Seen(runs, refunds, about)
        self.timeline.put(*(look or self._every_step)(self.seen))
        self.timeline.put(*(self._refund(row) for row in refunds))

    async def reply(self, email: Email) -> None:
        """Show the reply that was sent to the customer."""
        for row in await self.records.audit(self.since, self.customers[email.customer]):
            if row["action"] == "message_sent":
                self.note("reply", f"to {email.customer.capitalize()}", row["reply"], key=f"reply-{row['run_id']}")

    async def advance(self, by: timedelta, why: str) -> None:
        """Move the stand-in's clock, and show why."""
        self.note("clock", f"{_duration(by)} later", why)
        await self.engine.advance(by)

    def _every_step(self, seen: Seen) -> Iterable[Line]:
        for run in seen.runs:
            if run.function not in SHOWN:
                continue
            # On the official server a run can be completed a moment before it has an end.
            took = f" after {_duration(run.ended - run.queued)}" if run.ended else ""
            whose = f"{seen.about[run.id]}: " if run.id in seen.about else ""
            detail = whose + run.status.lower() + took
            yield Line(run.id, run.queued, _mark(run), run.function, detail, settled=run.ended)
            for step in run.steps:
                yield from _step(run, step)

    def _refund(self, row: dict[str, Any]) -> Line:
        amount = f"{(row['approved_cents'] or row['amount_cents']) / 100:.2f}"
        detail = f"{amount} {row['status']}"
        match row["decision"]:
            case "approved" | "rejected" as decision if decision != row["status"]:
                detail += f", {decision} by {row['decided_by']}"
            case "approved" | "rejected":
                detail += f" by {row['decided_by']}"
            case "expired":
                detail += ", nobody decided"
        key = f"refund-{row['id']}-{row['status']}"
        known = self.timeline.find(key)
        return known or Line(key, self.engine.now(), "money", f"refund {row['order_id']}", detail)


def _mark(run: Run) -> str:
    if run.status == "COMPLETED":
        return "done"
    if run.over:
        return "failed"
    return "running"


def _step(run: Run, step: Step) -> Iterable[Line]:
    """Yield a line for each failed attempt of the step, and then one for what the step is doing now."""
    key, last = f"{run.id}-{step.name}", step.attempts[-1]
    for failed in step.failures:
        text = f"attempt {failed.number} failed"
        yield Line(f"{key}-{failed.number}", failed.started, "failed", step.name, text, 1, failed.ended)
    at, took = last.started, _duration((last.ended or last.started) - last.started)
    tries = f"attempt {last.number}, " if step.failures else ""
    match last.status:
        case "COMPLETED":
            mark, detail = "done", f"waited {took}" if step.waits else tries + took
        case "FAILED" | "CANCELLED" if run.over:
            return
        case "FAILED":
            at, mark, detail = last.ended or at, "waiting", f"for attempt {last.number + 1}"
        case _ if step.waits:
            mark, detail = "waiting", "for a person's decision, at most 4 h"
        case _:
            mark, detail = "running", tries
    yield Line(key, at, mark, step.name, detail, 1, last.ended)


def _duration(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < SEVERAL_MINUTES:
        return f"{seconds:.1f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
