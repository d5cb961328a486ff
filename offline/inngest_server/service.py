"""What the views may ask of the engine and tell it: the one interface between HTTP and the core.

A view turns requests into calls of a `Service`, and what it finds in `service.state` into answers. It reads the state
and never changes it. Everything that changes something is a method here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from .core import expressions, go_json, rerun, sync
from .core.engine import Engine
from .core.state import INVOKED, App, Event, Function, Json, Run

MAX_EVENTS = 5_000
"""Events in one request, as on the official server."""

MAX_EVENT_SIZE = 3 * 1024 * 1024
"""Bytes of JSON in one event, as on the official server."""


class NotFoundError(LookupError):
    """No such run, function or app; the message names it."""


class InvalidEventError(ValueError):
    """An event the server refuses. `ids` are those of the events before it, which were taken."""

    def __init__(self, message: str, ids: list[str]) -> None:
        super().__init__(message)
        self.ids = ids


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs to list, and in which order. What is empty or None lets every run through."""

    statuses: Collection[str] = ()
    """As `RunStatus.v2_name` spells them."""
    app_ids: Collection[str] = ()
    function_ids: Collection[str] = ()
    """As their authors wrote them, without the app's prefix."""
    moment: Literal["queued_at", "started_at", "ended_at"] = "queued_at"
    """What `since`, `until` and the order refer to."""
    since: float | None = None
    """Seconds since the epoch, inclusive; so is `until`."""
    until: float | None = None
    oldest_first: bool = False

    def admits(self, run: Run) -> bool:
        """Whether the run is wanted."""
        if self.statuses and run.status.v2_name not in self.statuses:
            return False
        if self.app_ids and run.app_id not in self.app_ids:
            return False
        if self.function_ids and run.function.local_id not in self.function_ids:
            return False
        at = self.moment_of(run)
        if self.since is not None and (at is None or at < self.since):
            return False
        return self.until is None or (at is not None and at <= self.until)

    def moment_of(self, run: Run) -> float | None:
        """When the run was queued, started or ended, whichever the filter is about."""
        if self.moment == "started_at":
            return run.started_at
        if self.moment == "ended_at":
            return run.ended_at
        return run.queued_at


class Service:
    """One engine with everything that can be asked of it."""

    def __init__(self, seed: int | None = None) -> None:
        self.engine = Engine(seed)
        """For tests that look inside. Views do without it."""
        self.state = self.engine.state
        """Everything there is to see."""
        self.clock = self.engine.clock
        self.workers = self.engine.workers
        """Workers that dialled in."""

    # Time

    def now(self) -> datetime:
        """The server's time, UTC."""
        return self.clock.datetime()

    async def advance(self, by: timedelta) -> int:
        """Move the clock forward, firing everything due on the way in order; return how many timers fired.

        Raises `ValueError` for a negative duration, `TimeoutError` when a request stays unanswered for 120
        seconds of real time.
        """
        return await self.engine.scheduler.advance(by.total_seconds())

    async def settle(self) -> None:
        """Wait until nothing is in flight and nothing is due now. Raises `TimeoutError` after 120 seconds."""
        await self.engine.scheduler.settle()

    @property
    def in_flight(self) -> int:
        """How many requests and other pieces of work have not ended."""
        return self.engine.scheduler.in_flight

    # Apps and functions

    def register(self, payload: Json) -> dict[str, Any]:
        """Register an app's functions. Raises `InvalidRegistrationError` (`core/registration.py`)."""
        return sync.register(self.engine, payload)

    def apps(self) -> list[App]:
        """Apps that have registered."""
        return list(self.state.apps.values())

    def functions(self, app_id: str | None = None) -> list[Function]:
        """Functions of the newest syncs, of one app or of all."""
        return list(self.state.active_functions(app_id))

    # Events

    def send_events(
        self, events: list[dict[str, Any]], internal_ids: list[str] | None = None, *, start_after: float = 0.0
    ) -> list[str]:
        """Take events in order and return their internal ids. Their runs start after `start_after` real seconds.

        Raises `InvalidEventError` at the first bad one, which is also the one that is too many.
        """
        ids: list[str] = []
        self.engine.executor.start_delay = start_after
        try:
            for number, event in enumerate(events):
                problem = _problem(event)
                if number >= MAX_EVENTS:
                    problem = f"Cannot have more than {MAX_EVENTS} events in a batch"
                if problem:
                    raise InvalidEventError(problem, ids)
                ids.append(self.engine.receive(event, internal_ids[number] if internal_ids else None).internal_id)
        finally:
            self.engine.executor.start_delay = 0.0
        return ids

    def events(self, *, internal: bool = False) -> list[Event]:
        """All events, newest first; those named `inngest/…` only when asked for."""
        found = reversed(self.state.events.values())
        return [event for event in found if internal or not event.name.startswith("inngest/")]

    # Runs

    def run(self, run_id: str) -> Run:
        """A run by id. Raises `NotFoundError`."""
        found = self.state.runs.get(run_id)
        if found is None:
            raise NotFoundError(f"run not found: {run_id}")
        return found

    def runs(self, wanted: RunFilter | None = None) -> list[Run]:
        """All runs, or those wanted; newest first unless the filter says otherwise."""
        if wanted is None:
            return list(reversed(self.state.runs.values()))
        found = [run for run in self.state.runs.values() if wanted.admits(run)]
        return sorted(found, key=lambda run: (wanted.moment_of(run) or 0.0, run.id), reverse=not wanted.oldest_first)

    def timers(self, run: Run) -> list[tuple[str, float]]:
        """What a run waits for: a step's hashed id or a purpose, and when it is due (seconds since the epoch)."""
        live = self.engine.live.get(run.id)
        return [(name, timer.when) for name, timer in live.timers.items()] if live else []

    def fail_next(self, step: str, times: int = 1) -> None:
        """Take the next `times` results of the step of this name for failures. Its body has run; it is tried again."""
        self.engine.executor.to_fail[step] += times

    def invoke(
        self,
        app_id: str | None,
        function_id: str,
        data: dict[str, Any],
        *,
        user: dict[str, Any] | None = None,
        event_id: str | None = None,
    ) -> str:
        """Run one function with `data`, whatever triggers it; return the run's id.

        `function_id` is the slug, the UUID or, with `app_id`, the id its author wrote. A repeated `event_id` starts
        nothing. Raises `NotFoundError` for an unknown function, `ValueError` when flow control keeps the run from
        starting now.
        """
        function = self.state.find_function(function_id, app_id)
        if function is None:
            raise NotFoundError(f"function not found: {function_id}")
        event = self.invoke_event(function.id, data, user=user, event_id=event_id)
        if not event.run_ids:
            raise ValueError(f"flow control of {function.id} holds or drops the run")
        return event.run_ids[0]

    def invoke_event(
        self, slug: str, data: dict[str, Any], *, user: dict[str, Any] | None = None, event_id: str | None = None
    ) -> Event:
        """Send the event that invokes a function by slug; nothing happens when there is no such function."""
        metadata = {
            "expire": 0,
            "fn_id": slug,
            "gid": "",
            "name": "",
            "source_app_id": "",
            "source_fn_id": "",
            "source_fn_v": 0,
            "type": "api",
        }
        data = {**data, "_inngest": metadata}
        return self.engine.receive({"name": INVOKED, "data": data, "user": user, "id": event_id})

    def rerun(self, run_id: str, from_step: str | None = None) -> str:
        """Run the same event again as a new run; return its id.

        Raises `NotFoundError` for an unknown run, and what `core/rerun.py` raises.
        """
        return rerun.rerun(self.engine, self.run(run_id), from_step).id

    def cancel_run(self, run_id: str) -> Run:
        """Cancel a run; one that has ended stays as it is. Raises `NotFoundError`."""
        run = self.run(run_id)
        live = self.engine.live.get(run_id)
        if live is not None:
            self.engine.cancel(live)
        return run

    def cancel_runs(self, function: Function, since: float, until: float, condition: str | None) -> None:
        """Cancel the function's runs that were queued in a span of time and whose event fulfils `condition`."""
        for live in list(self.engine.live.values()):
            run = live.run
            if run.function.id != function.id or not since <= run.queued_at <= until:
                continue
            if expressions.holds(condition, {"event": run.event.payload()}):
                self.engine.cancel(live)


def _problem(event: Json) -> str | None:
    """Why the server refuses an event, in the official server's words; None when it does not."""
    if not isinstance(event, dict):
        return "Request body must contain an event object or an array of event objects"
    fields = [("name", str, "string"), ("data", dict, "map[string]interface {}"), ("id", str, "string")]
    for name, kind, go_type in [*fields, ("ts", int, "int64")]:
        value = event.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            found = go_json.type_name(value)
            return f"json: cannot unmarshal {found} into Go struct field raw.{name} of type {go_type}"
    if not event.get("name"):
        return "event name is empty"
    size = len(go_json.dumps(event))
    if size > MAX_EVENT_SIZE:
        return f"Event is over the max size: Max {MAX_EVENT_SIZE} bytes / Size {size} bytes"
    if event["name"].lower().startswith("inngest/"):
        return f"event name is reserved for internal use: {event['name']}"
    return None
