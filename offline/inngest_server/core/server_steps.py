"""Steps that the server itself carries out: sleep, wait for an event, invoke a function, call a model.

Each takes no slot and no request while it waits; its end is stored like any other step's result.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from . import expressions
from .live import Item, LiveRun
from .registration import seconds
from .state import Attempt, Event, Json, Step, StepOp, StepStatus

if TYPE_CHECKING:
    from .executor import Executor

log = logging.getLogger("inngest_server")

YEAR = 365 * 86_400.0
INVOKED = "inngest/function.invoked"
_AI_TIMEOUT = 600.0


class InvalidOpError(Exception):
    """A reported step that can never be carried out: the run fails. `body` is the run's output."""

    def __init__(self, name: str, message: str, detail: str) -> None:
        super().__init__(message)
        self.body = {"error": f"{name}: {message}", "name": name, "message": message, "stack": detail}


@dataclass(slots=True)
class Wait:
    """A step that waits for an event."""

    live: LiveRun
    step: Step
    expression: str | None
    race: bool


@dataclass(slots=True)
class Waiting:
    """Everything that waits for something to come in."""

    send: Callable[[dict[str, Any]], Event]
    """Puts an internal event in; used to invoke functions."""
    waits: dict[str, dict[tuple[str, str], Wait]] = field(default_factory=dict)
    """By event name, then run id and step id."""
    invokes: dict[str, tuple[LiveRun, Step, bool]] = field(default_factory=dict)
    """By correlation id."""

    def resolve(self, executor: Executor, event: Event) -> None:
        """Wake every step whose event this is."""
        waits = self.waits.get(event.name)
        for key, wait in list(waits.items()) if waits else []:
            context = {"event": wait.live.run.event.payload(), "async": event.payload()}
            if expressions.holds(wait.expression, context):
                self._drop_wait(event.name, key)
                wait.step.output = event.payload()
                wait.step.opts["matched_event_id"] = event.internal_id
                _finish(executor, wait.live, wait.step, StepStatus.COMPLETED, event.payload(), wait.race)

    def resolve_invoke(self, executor: Executor, correlation_id: str, memo: dict[str, Any]) -> None:
        """Hand an invoked run's result to the step that waits for it, if it still does."""
        found = self.invokes.pop(correlation_id, None)
        if found is None:
            return
        live, step, race = found
        if "error" in memo:
            step.error = memo["error"]
            _finish(executor, live, step, StepStatus.FAILED, memo, race)
        else:
            step.output = memo.get("data")
            _finish(executor, live, step, StepStatus.COMPLETED, memo, race)

    def forget(self, live: LiveRun) -> None:
        """Drop what an ended run was waiting for."""
        for step in live.run.steps.values():
            if step.op is StepOp.WAIT_FOR_EVENT and step.status is StepStatus.WAITING:
                self._drop_wait(step.opts["event"], (live.run.id, step.id))
            elif step.op is StepOp.INVOKE:
                self.invokes.pop(f"{live.run.id}.{step.id}", None)

    def _drop_wait(self, name: str, key: tuple[str, str]) -> None:
        waits = self.waits.get(name, {})
        waits.pop(key, None)
        if not waits:
            self.waits.pop(name, None)


def _finish(executor: Executor, live: LiveRun, step: Step, status: StepStatus, memo: Json, race: bool) -> None:
    if (timer := live.timers.pop(step.id, None)) is not None:
        timer.cancel()
    step.status, step.ended_at = status, executor.clock.now()
    executor.save(live, step, memo, race=race)


def _begin(executor: Executor, live: LiveRun, op: dict[str, Any], kind: StepOp) -> Step | None:
    """The new step, waiting; None when it was reported before."""
    if op["id"] in live.jobs or op["id"] in live.run.memos:
        return None
    live.jobs.add(op["id"])
    step = executor.step(live.run, op, kind, StepStatus.WAITING)
    step.op, step.status, step.started_at = kind, StepStatus.WAITING, executor.clock.now()
    return step


def _deadline(executor: Executor, value: Json) -> float:
    """A timeout given as a duration or as a date on the host's clock; a year when there is none."""
    now = executor.clock.now()
    if value is None or value == "":
        return now + YEAR
    try:
        return now + (seconds(value) or 0.0)
    except ValueError:
        return _instant(executor, value)


def _instant(executor: Executor, value: Json) -> float:
    try:
        return executor.clock.from_host(datetime.fromisoformat(value).timestamp())
    except (TypeError, ValueError) as error:
        raise InvalidOpError("InvalidTimeout", "not a duration and not a date", str(value)) from error


def sleep(executor: Executor, live: LiveRun, op: dict[str, Any], race: bool) -> None:
    """Sleep until the instant (or for the duration) that the op's name holds."""
    step = _begin(executor, live, op, StepOp.SLEEP)
    if step is None:
        return
    until = _deadline(executor, op.get("name"))
    step.opts = {"until": until}
    live.timers[step.id] = executor.scheduler.call_at(
        until, lambda: _finish(executor, live, step, StepStatus.COMPLETED, None, race)
    )


def wait_for_event(executor: Executor, live: LiveRun, op: dict[str, Any], race: bool) -> None:
    """Wait for an event of a name that fulfils an expression; null when none comes in time."""
    opts = op.get("opts") or {}
    name, expression = opts.get("event") or op.get("name"), opts.get("if")
    if expression:
        try:
            expressions.compile_expression(expression)
        except expressions.InvalidExpressionError as error:
            message = "Wait for event If expression failed to compile"
            raise InvalidOpError("InvalidExpression", message, str(error)) from error
    step = _begin(executor, live, op, StepOp.WAIT_FOR_EVENT)
    if step is None:
        return
    until = _deadline(executor, opts.get("timeout"))
    step.opts = {"event": name, "if": expression, "timeout_at": until}
    key = (live.run.id, step.id)
    waiting = executor.waiting
    waiting.waits.setdefault(str(name), {})[key] = Wait(live, step, expression, race)

    def expire() -> None:
        waiting._drop_wait(str(name), key)
        _finish(executor, live, step, StepStatus.TIMED_OUT, None, race)

    live.timers[step.id] = executor.scheduler.call_at(until, expire)


def invoke(executor: Executor, live: LiveRun, op: dict[str, Any], race: bool) -> None:
    """Start another function's run and wait for its result."""
    opts = op.get("opts") or {}
    step = _begin(executor, live, op, StepOp.INVOKE)
    if step is None:
        return
    until = _deadline(executor, opts.get("timeout"))
    correlation_id = f"{live.run.id}.{step.id}"
    waiting = executor.waiting
    waiting.invokes[correlation_id] = (live, step, race)

    def expire() -> None:
        message = "Timed out waiting for invoked function to complete"
        error = {"error": message, "name": "InngestInvokeTimeoutError", "message": message}
        waiting.resolve_invoke(executor, correlation_id, {"error": error})
        step.status = StepStatus.TIMED_OUT

    live.timers[step.id] = executor.scheduler.call_at(until, expire)
    payload = opts.get("payload") or {}
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
    data = {**(payload.get("data") or {}), "_inngest": metadata}
    event = waiting.send({"name": INVOKED, "data": data, "v": payload.get("v")})
    step.opts["triggering_event_id"] = event.internal_id


def call_model(executor: Executor, item: Item, op: dict[str, Any], race: bool) -> None:
    """Make a model call for the function and store the answer; after a failed one the app is asked again."""
    step = item.live.run.steps.get(op["id"])
    if step is None:
        step = _begin(executor, item.live, op, StepOp.AI_GATEWAY)
    elif step.status is not StepStatus.QUEUED:
        return
    if step is not None:
        step.status = StepStatus.RUNNING
        executor.scheduler.spawn(_call_model(executor, item, step, op.get("opts") or {}, race))


async def _call_model(executor: Executor, item: Item, step: Step, opts: dict[str, Any], race: bool) -> None:
    live = item.live
    if live.run.status.ended:
        return
    attempt = Attempt(item.attempt, executor.clock.now(), executor.clock.now())
    step.attempts.append(attempt)
    body, error = await _post_model(executor.client.session, opts)
    attempt.ended_at = executor.clock.now()
    if error is None:
        step.output = attempt.output = body
        step.error = None
        _finish(executor, live, step, StepStatus.COMPLETED, {"data": body}, race)
        return
    attempt.error = step.error = error
    if item.attempt + 1 < live.run.function.max_attempts and not live.run.status.ended:
        step.status = StepStatus.QUEUED
        executor.retry(item, None)
    else:
        _finish(executor, live, step, StepStatus.FAILED, {"error": error}, race)


async def _post_model(session: aiohttp.ClientSession, opts: dict[str, Any]) -> tuple[Json, dict[str, Any] | None]:
    headers = {"Content-Type": "application/json"}
    key, params = opts.get("auth_key") or "", {}
    if opts.get("format") == "anthropic":
        headers["X-Api-Key"] = key
    elif opts.get("format") == "gemini":
        params["key"] = key
    elif key:
        headers["Authorization"] = key if opts.get("format") == "bedrock" else f"Bearer {key}"
    headers |= {str(name).title(): value for name, value in (opts.get("headers") or {}).items()}
    try:
        async with session.post(
            opts.get("url") or "",
            params=params,
            data=json.dumps(opts.get("body")),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=_AI_TIMEOUT),
        ) as response:
            raw = await response.text()
            if response.ok:
                return json.loads(raw), None
            reason = f"unsuccessful status code: {response.status}"
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raw, reason = "", type(error).__name__
    return None, {"name": "AIGatewayError", "message": f"Error making AI request: {reason}", "stack": raw}


HANDLERS: dict[str, Callable[[Executor, LiveRun, dict[str, Any], bool], None]] = {
    "Sleep": sleep,
    "WaitForEvent": wait_for_event,
    "InvokeFunction": invoke,
}
