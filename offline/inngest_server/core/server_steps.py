"""Steps that the server itself carries out: sleep, wait for an event, invoke a function, call a model.

None of them takes a concurrency slot while it waits. Its result is stored like that of any other step.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from . import expressions
from .ai_gateway import ask_model
from .app_client import AppClient
from .clock import Clock
from .live import Item, LiveRun
from .registration import seconds
from .scheduler import Scheduler
from .state import INVOKED, Attempt, Event, Json, Step, StepOp, StepStatus, error_of

YEAR = 365 * 86_400.0
"""Seconds that a step waits when its author named no timeout."""

Op = dict[str, Any]
"""A step as the SDK reports it."""

Save = Callable[[LiveRun, Step, Json, bool], None]
"""`save(live, step, memo, race)` stores a step's result and calls the function again."""

Retry = Callable[[Item, float | None], None]
"""`retry(item, retry_at)` asks the app the same again; `retry_at` None leaves the time to the usual backoff."""

Send = Callable[[dict[str, Any]], Event]
"""`send(event)` puts an event of the server's own in."""


class InvalidOpError(Exception):
    """A reported step that can never be carried out: the run fails. `body` is the run's output."""

    def __init__(self, name: str, message: str, detail: str) -> None:
        super().__init__(message)
        self.body = {"error": f"{name}: {message}", "name": name, "message": message, "stack": detail}


class Waiting(NamedTuple):
    """A step that waits for something to come in."""

    live: LiveRun
    step: Step
    race: bool
    """Whether it belongs to a group in which every branch goes on by itself."""


class ServerSteps:
    """Begins these steps and ends them when their time, their event, their run or their answer has come."""

    def __init__(
        self, clock: Clock, scheduler: Scheduler, client: AppClient, save: Save, retry: Retry, send: Send
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._client = client
        self._save = save
        self._retry = retry
        self._send = send
        self.waits: dict[str, dict[tuple[str, str], Waiting]] = {}
        """Steps that wait for an event, by its name, then by run id and step id."""
        self.invokes: dict[str, Waiting] = {}
        """Steps that wait for an invoked run's end, by correlation id."""

    # What a function asks for. Each method raises `InvalidOpError`, and does nothing for an op reported before.

    def sleep(self, live: LiveRun, op: Op, race: bool) -> None:
        """Sleep until the date, or for the duration, that the op's name holds."""
        step = self._begin(live, op, StepOp.SLEEP)
        if step is None:
            return
        until = self._deadline(op.get("name"))
        step.opts = {"until": until}
        waiting = Waiting(live, step, race)
        live.timers[step.id] = self._scheduler.call_at(until, lambda: self._end(waiting, StepStatus.COMPLETED, None))

    def wait_for_event(self, live: LiveRun, op: Op, race: bool) -> None:
        """Wait for an event of a name that fulfils an expression; the result is null when none comes in time."""
        opts = op.get("opts") or {}
        name, expression = str(opts.get("event") or op.get("name")), opts.get("if")
        if expression:
            try:
                expressions.compile_expression(expression)
            except expressions.InvalidExpressionError as error:
                message = "Wait for event If expression failed to compile"
                raise InvalidOpError("InvalidExpression", message, str(error)) from error
        step = self._begin(live, op, StepOp.WAIT_FOR_EVENT)
        if step is None:
            return
        until = self._deadline(opts.get("timeout"))
        step.opts = {"event": name, "if": expression, "timeout_at": until}
        waiting = Waiting(live, step, race)
        self.waits.setdefault(name, {})[live.run.id, step.id] = waiting

        def expire() -> None:
            self._drop_wait(live, step)
            self._end(waiting, StepStatus.TIMED_OUT, None)

        live.timers[step.id] = self._scheduler.call_at(until, expire)

    def invoke(self, live: LiveRun, op: Op, race: bool) -> None:
        """Start another function's run and wait for its result."""
        opts = op.get("opts") or {}
        step = self._begin(live, op, StepOp.INVOKE)
        if step is None:
            return
        until = self._deadline(opts.get("timeout"))
        correlation_id = _correlation_id(live, step)
        self.invokes[correlation_id] = Waiting(live, step, race)

        def expire() -> None:
            error = error_of("Timed out waiting for invoked function to complete", "InngestInvokeTimeoutError")
            self.invoked_run_ended(correlation_id, {"error": error})
            step.status = StepStatus.TIMED_OUT

        live.timers[step.id] = self._scheduler.call_at(until, expire)
        function = live.run.function
        metadata = {
            "correlation_id": correlation_id,
            "expire": int(until * 1000),
            "fn_id": opts.get("function_id"),
            "gid": "",
            "name": step.name,
            "source_app_id": "",
            "source_fn_id": function.uuid,
            "source_fn_v": function.version,
        }
        step.opts = {"function_id": opts.get("function_id"), "timeout_at": until, "run_id": None}
        payload = opts.get("payload") or {}
        data = {**(payload.get("data") or {}), "_inngest": metadata}
        event = self._send({"name": INVOKED, "data": data, "v": payload.get("v")})
        step.opts["triggering_event_id"] = event.internal_id

    def call_model(self, item: Item, op: Op, race: bool) -> None:
        """Ask a model and store its answer; after a failed attempt the app is asked again what to do."""
        step = item.live.run.steps.get(op["id"])
        if step is None:
            step = self._begin(item.live, op, StepOp.AI_GATEWAY)
        elif step.status is not StepStatus.QUEUED:
            return
        if step is not None:
            step.status = StepStatus.RUNNING
            self._scheduler.spawn(self._call_model(item, step, op.get("opts") or {}, race))

    async def _call_model(self, item: Item, step: Step, opts: dict[str, Any], race: bool) -> None:
        live = item.live
        if live.run.status.ended:
            return
        attempt = Attempt(item.attempt, self._clock.now(), self._clock.now())
        step.attempts.append(attempt)
        answer, error = await ask_model(self._client.session, opts)
        attempt.ended_at = self._clock.now()
        attempt.error = step.error = error
        if error is None:
            step.output = attempt.output = answer
            self._end(Waiting(live, step, race), StepStatus.COMPLETED, {"data": answer})
        elif item.attempt + 1 < live.run.function.max_attempts and not live.run.status.ended:
            step.status = StepStatus.QUEUED
            self._retry(item, None)
        else:
            self._end(Waiting(live, step, race), StepStatus.FAILED, {"error": error})

    # What comes in

    def event_came(self, event: Event) -> None:
        """Wake every step that waits for this event."""
        for waiting in list(self.waits.get(event.name, {}).values()):
            context = {"event": waiting.live.run.event.payload(), "async": event.payload()}
            if expressions.holds(waiting.step.opts["if"], context):
                self._drop_wait(waiting.live, waiting.step)
                waiting.step.output = event.payload()
                waiting.step.opts["matched_event_id"] = event.internal_id
                self._end(waiting, StepStatus.COMPLETED, event.payload())

    def invoked_run_ended(self, correlation_id: str, memo: dict[str, Any]) -> None:
        """Hand an invoked run's result to the step that waits for it, if it still does."""
        waiting = self.invokes.pop(correlation_id, None)
        if waiting is None:
            return
        waiting.step.error = memo.get("error")
        waiting.step.output = memo.get("data")
        self._end(waiting, StepStatus.FAILED if "error" in memo else StepStatus.COMPLETED, memo)

    def forget(self, live: LiveRun) -> None:
        """Drop what an ended run was waiting for."""
        for step in live.run.steps.values():
            if step.op is StepOp.WAIT_FOR_EVENT and step.status is StepStatus.WAITING:
                self._drop_wait(live, step)
            elif step.op is StepOp.INVOKE:
                self.invokes.pop(_correlation_id(live, step), None)

    def _begin(self, live: LiveRun, op: Op, kind: StepOp) -> Step | None:
        """The new step, waiting; None when it was reported before."""
        if op["id"] in live.jobs or op["id"] in live.run.memos:
            return None
        live.jobs.add(op["id"])
        now = self._clock.now()
        step = live.reported_step(op, kind, StepStatus.WAITING, now)
        step.op, step.status, step.started_at = kind, StepStatus.WAITING, now
        return step

    def _end(self, waiting: Waiting, status: StepStatus, memo: Json) -> None:
        live, step, race = waiting
        if (timer := live.timers.pop(step.id, None)) is not None:
            timer.cancel()
        step.status, step.ended_at = status, self._clock.now()
        self._save(live, step, memo, race)

    def _drop_wait(self, live: LiveRun, step: Step) -> None:
        name = step.opts["event"]
        waits = self.waits.get(name, {})
        waits.pop((live.run.id, step.id), None)
        if not waits:
            self.waits.pop(name, None)

    def _deadline(self, value: Json) -> float:
        """The instant, on the server's clock, that a duration or a date on the host's clock names."""
        now = self._clock.now()
        if value is None or value == "":
            return now + YEAR
        try:
            return now + (seconds(value) or 0.0)
        except ValueError:
            pass
        try:
            return self._clock.from_host(datetime.fromisoformat(value).timestamp())
        except (TypeError, ValueError) as error:
            raise InvalidOpError("InvalidTimeout", "not a duration and not a date", str(value)) from error


def _correlation_id(live: LiveRun, step: Step) -> str:
    return f"{live.run.id}.{step.id}"
