"""The engine as a whole: it takes events in, makes runs of them, ends runs, and tells whoever waits.

It knows no HTTP server; `service.py` is what the views see of it.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from ulid import ULID

from . import cron, expressions, flow_control
from .app_client import AppClient, event_without_user
from .clock import Clock
from .executor import Executor
from .flow_control import FlowControl
from .live import LiveRun
from .scheduler import Scheduler
from .state import (
    CANCELLED,
    CRON_TICK,
    FAILED,
    FINISHED,
    INVOKED,
    Cancel,
    Event,
    Function,
    Json,
    Run,
    RunStatus,
    State,
    StepStatus,
    error_of,
)
from .workers import Workers

log = logging.getLogger("inngest_server")

_CANCEL_TIMEOUT = 365 * 86_400.0
"""Seconds for which a cancellation listens when its author named no timeout."""


class Engine:
    """Everything between the event that comes in and the requests that go out."""

    def __init__(self, seed: int | None = None) -> None:
        self.state = State()
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.rng = random.Random(seed)
        self.workers = Workers(self.clock, self.scheduler)
        self.client = AppClient(self.clock, self.workers)
        self.executor = Executor(self.clock, self.scheduler, self.client, self.rng, self.finish, self.receive)
        self.server_steps = self.executor.server_steps
        self.workers.on_ready = self.executor.queue.reconsider
        self.flow = FlowControl(self.clock, self.scheduler, self.start_run, self.cancel)
        self.crons = cron.Crons(self.clock, self.scheduler, self._tick, self.rng.random)
        self.live: dict[str, LiveRun] = {}
        """Runs that have not ended, by id."""
        self._triggers: dict[str, list[Function]] = {}
        """Functions by the name of an event that may trigger them; filled as events come, emptied by each sync."""
        self._cancels: dict[str, dict[str, LiveRun]] = {}
        """Runs that an event may cancel, by its name and the run's id."""

    def functions_changed(self, functions: list[Function], archived: list[Function]) -> None:
        """Follow a sync. `state.functions` is up to date already, and runs go on with the new configuration."""
        self._triggers.clear()
        self.crons.sync(functions, archived)
        synced = {function.id: function for function in functions}
        for live in self.live.values():
            live.run.function = synced.get(live.run.function.id, live.run.function)

    # Events

    def receive(self, raw: dict[str, Any], internal_id: str | None = None) -> Event:
        """Take an event in: wake what waits for it, cancel what it cancels, start what it triggers.

        `raw` holds `name` and optionally `data`, `id`, `ts` (milliseconds), `user` and `v`. When its `internal_id` is
        known, a sender has lost the answer and repeats the request: as on the official server, the event then starts
        nothing again, but it wakes whoever waits by now, and it is listed twice.
        """
        now = self.clock.now()
        internal_id = internal_id or str(ULID.from_timestamp(now))
        due = self.clock.from_host(raw["ts"] / 1000) if raw.get("ts") else now
        event = self.state.events.get(internal_id)
        if event is not None:
            event.deliveries += 1
        else:
            event = self.state.events[internal_id] = Event(
                internal_id=internal_id,
                id=raw.get("id") or internal_id,
                name=raw["name"],
                data=raw.get("data") or {},
                ts=raw.get("ts") or int(now * 1000),
                received_at=now,
                due_at=due if due > now else None,
                user=raw.get("user") or {},
                v=raw.get("v"),
            )
        self.server_steps.event_came(event)
        self._cancel_matching(event)
        if event.name == INVOKED:
            self._invoke(event)
        for function in self._triggered(event.name):
            if any(
                _matches(t.event, event.name) and expressions.holds(t.expression, {"event": event.payload()})
                for t in function.triggers
            ):
                self.flow.admit(function, event)
        return event

    def _triggered(self, name: str) -> list[Function]:
        found = self._triggers.get(name)
        if found is None:
            active = self.state.active_functions()
            found = [f for f in active if any(_matches(t.event, name) for t in f.triggers)]
            self._triggers[name] = found
        return found

    def _invoke(self, event: Event) -> None:
        metadata = event.data.get("_inngest") or {}
        wanted = str(metadata.get("fn_id") or "")
        function = self.state.find_function(wanted)
        if function is not None:
            self.flow.admit(function, event)
        elif correlation_id := metadata.get("correlation_id"):
            error = error_of(f"could not find function with ID: {wanted}")
            self.server_steps.invoked_run_ended(correlation_id, {"error": error})

    def _tick(self, function: Function, schedule: str, tick: float) -> None:
        now, tick_id = self.clock.now(), cron.tick_id(tick)
        event = Event(
            internal_id=str(ULID.from_timestamp(now)),
            id=tick_id,
            name=CRON_TICK,
            data={"cron": schedule, "fireAt": cron.tick_id(now), "scheduledAt": tick_id},
            ts=int(now * 1000),
            received_at=now,
            cron=schedule,
        )
        self.state.events[event.internal_id] = event
        self.flow.admit(function, event)

    # Runs

    def start_run(
        self, function: Function, events: list[Event], batch_id: str | None = None, original: str | None = None
    ) -> Run | None:
        """Make a run and queue its first request; return None when a running singleton keeps it out.

        `original` is the id of the run that a rerun repeats.
        """
        now = self.clock.now()
        # A debounce or a batch may have held the event while the function was registered anew.
        function = self.state.functions.get(function.id, function)
        event = events[0]
        run = Run(
            id=str(ULID.from_timestamp(now)),
            function=function,
            events=events,
            queued_at=now,
            original_run_id=original,
            batch_id=batch_id,
            cron=event.cron,
            priority=flow_control.priority_of(function, event),
        )
        live = LiveRun(
            run,
            limits=flow_control.limits_of(function, event),
            cancels=function.flow.cancel,
            throttle_key=flow_control.throttle_key_of(function, event),
        )
        if not self.flow.enter_singleton(live):
            return None
        self._enter(live)
        # A priority below zero is a delay, even if no other run waits.
        due = now + max(-run.priority, 0)
        if event.due_at is not None and original is None and batch_id is None:
            due = max(due, event.due_at)
        if due > now:
            live.timers["due"] = self.scheduler.call_at(due, lambda: self.executor.start(live))
        else:
            self.executor.start(live)
        return run

    def _enter(self, live: LiveRun) -> None:
        """Note a new run everywhere where something may look for it."""
        run = live.run
        self.state.runs[run.id] = run
        self.live[run.id] = live
        for event in run.events:
            event.run_ids.append(run.id)
            self._tell_invoker(event, run)
        for setting in live.cancels:
            self._cancels.setdefault(setting.event, {})[run.id] = live
        timeout = run.function.flow.timeout_start
        if timeout:
            live.timers["start"] = self.scheduler.call_in(timeout, lambda: self.cancel(live))

    def _tell_invoker(self, event: Event, run: Run) -> None:
        correlation_id = (event.data.get("_inngest") or {}).get("correlation_id") if event.name == INVOKED else None
        found = self.server_steps.invokes.get(correlation_id) if correlation_id else None
        if found is not None:
            found.step.opts["run_id"] = run.id
            run.invoked_by = (found.live.run.id, found.step.id)

    def cancel(self, live: LiveRun) -> None:
        """End a run now. A request that is in flight may finish, and its result goes nowhere."""
        self.finish(live, RunStatus.CANCELLED, None, None)

    def _cancel_matching(self, event: Event) -> None:
        lives = self._cancels.get(event.name)
        for live in list(lives.values()) if lives else []:
            if any(self._cancels_run(setting, live, event) for setting in live.cancels):
                self.cancel(live)

    def _cancels_run(self, setting: Cancel, live: LiveRun, event: Event) -> bool:
        if setting.event != event.name:
            return False
        if self.clock.now() > live.run.queued_at + (setting.timeout or _CANCEL_TIMEOUT):
            return False
        context = {"event": live.run.event.payload(), "async": event.payload()}
        return expressions.holds(setting.expression, context)

    def finish(self, live: LiveRun, status: RunStatus, output: Json, error: dict[str, Any] | None) -> None:
        """End a run, free what it held, and tell its invoker and whoever listens for function events.

        A run that has ended already stays as it is.
        """
        run = live.run
        if run.status.ended:
            return
        now = self.clock.now()
        run.status, run.ended_at, run.output = status, now, output
        for timer in live.timers.values():
            timer.cancel()
        live.timers.clear()
        self.server_steps.forget(live)
        self.flow.leave_singleton(live)
        self.live.pop(run.id, None)
        for setting in live.cancels:
            lives = self._cancels.get(setting.event, {})
            lives.pop(run.id, None)
            if not lives:
                self._cancels.pop(setting.event, None)
        for step in run.steps.values():
            if step.status in (StepStatus.QUEUED, StepStatus.WAITING):
                step.status, step.ended_at = StepStatus.CANCELLED, now
        log.info("run %s of %s: %s", run.id, run.function.id, status.lower())
        self._announce(run, error)

    def _announce(self, run: Run, error: dict[str, Any] | None) -> None:
        """Send the events that tell of a run's end. A run that such an event began has none, lest it never ends."""
        if run.event.name in (FINISHED, FAILED, CANCELLED):
            return
        for number, event in enumerate(run.events):
            metadata = event.data.get("_inngest") if event.name == INVOKED else None
            correlation_id = metadata.get("correlation_id") if isinstance(metadata, dict) else None
            if number and correlation_id is None:
                continue
            data: dict[str, Any] = {
                "_inngest": {"status": str(run.status)},
                "event": event.payload(),
                "events": [event_without_user(e) for e in run.events],
                "function_id": run.function.id,
                "run_id": run.id,
            }
            if error is not None:
                data["error"] = error
            if run.output is not None:
                data["result"] = run.output
            if correlation_id:
                data["correlation_id"] = correlation_id
                self.server_steps.invoked_run_ended(correlation_id, _invoke_memo(run, error))
            self.receive({"name": FINISHED, "data": data})
            if run.status is RunStatus.FAILED:
                self.receive({"name": FAILED, "data": data, "id": run.id})
            elif run.status is RunStatus.CANCELLED:
                self.receive({"name": CANCELLED, "data": data, "id": run.id})


def _invoke_memo(run: Run, error: dict[str, Any] | None) -> dict[str, Any]:
    if run.status is RunStatus.COMPLETED:
        return {"data": run.output}
    if error is not None:
        return {"error": error}
    return {"error": error_of("Function was cancelled")}


def _matches(pattern: str | None, name: str) -> bool:
    """Whether a trigger's event name, which may end in a wildcard, covers an event's."""
    if pattern is None:
        return False
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1]) and not (pattern == "*" and name.startswith("inngest/"))
    return pattern == name
