"""Takes a run from request to request: it sends one, reads what the SDK reports, and plans what has to happen next.

The rules are those of the recorded traffic: which request follows which report, when `attempt` starts again at 0, what
a failed step's memo looks like. A step's result is stored before anything that depends on it is queued.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from . import go_json
from .app_client import AppClient, Reply
from .clock import Clock
from .live import Item, LiveRun
from .scheduler import Scheduler
from .server_steps import InvalidOpError, Send, ServerSteps
from .state import OFFICIAL_COMMAND, Attempt, Json, RunStatus, Step, StepOp, StepStatus, error_of
from .work_queue import WorkQueue

log = logging.getLogger("inngest_server")

BACKOFF = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0)
"""Seconds before the first, second, … retry; the last value repeats."""

MAX_JITTER = 30.0
"""Seconds a retry may come later than its backoff; never more than the backoff itself."""

MAX_STEPS = 1_000
"""Steps of one run, as on the official server."""

MAX_STEP_BYTES = 4 * 1024 * 1024
"""Bytes of JSON in what one step returns, as https://www.inngest.com/docs/usage-limits/inngest has it."""

MAX_STATE_BYTES = 32 * 1024 * 1024
"""Bytes of JSON in the results of all of a run's steps together."""

Finish = Callable[[LiveRun, RunStatus, Json, "dict[str, Any] | None"], None]
"""`finish(live, status, output, error)` ends a run."""


class Executor:
    """Executes the runs that the engine makes, and hands each that ended back to it through `finish`."""

    def __init__(
        self, clock: Clock, scheduler: Scheduler, client: AppClient, rng: random.Random, finish: Finish, send: Send
    ) -> None:
        self.clock = clock
        self.scheduler = scheduler
        self.client = client
        self.queue = WorkQueue(clock, scheduler, client.can_reach, self._dispatch)
        self._rng = rng
        self._finish = finish
        self.start_delay = 0.0
        """Seconds of real time that a run waits before its first request. It is set while an event comes in over
        HTTP, and 0 otherwise."""
        self.to_fail: Counter[str] = Counter()
        """How often the next results of a step, by its name, are taken for failures: see `Service.fail_next`."""
        self.server_steps = ServerSteps(clock, scheduler, client, self.save, self.retry, send)

    def start(self, live: LiveRun) -> None:
        """Queue a new run's first request, after `start_delay`."""
        live.timers.pop("due", None)
        if self.start_delay:
            self.scheduler.spawn(self._start_later(live, self.start_delay))
        else:
            self.queue.push(self._item(live, first=True))

    async def _start_later(self, live: LiveRun, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if not live.run.status.ended:
            self.queue.push(self._item(live, first=True))

    def discover(self, live: LiveRun, job: str) -> None:
        """Queue a call of the function that lets it go on to whatever comes next; at most once per `job`."""
        if job not in live.jobs and not live.run.status.ended:
            live.jobs.add(job)
            self.queue.push(self._item(live))

    def target(self, live: LiveRun, step_id: str, race: bool) -> None:
        """Queue one planned step. A plan that is reported twice is queued once."""
        job = f"plan-{step_id}"
        if job not in live.jobs:
            live.jobs.add(job)
            self.queue.push(self._item(live, target=step_id, race=race))

    def save(self, live: LiveRun, step: Step, memo: Json, race: bool) -> None:
        """Store a step's result and call the function again, unless parallel steps are still awaited."""
        run = live.run
        if run.status.ended or step.id in run.memos:
            return
        run.memos[step.id] = memo
        run.stack.append(step.id)
        live.pending.discard(step.id)
        if not live.pending or race:
            live.plan_only = False
            self.discover(live, f"after-{step.id}")

    def retry_time(self, attempt: int, retry_at: float | None) -> float:
        """When the attempt after number `attempt` (counted from 0) is due, on the server's clock."""
        if retry_at is not None:
            return retry_at
        base = BACKOFF[min(attempt, len(BACKOFF) - 1)]
        return self.clock.now() + base + self._rng.uniform(0, min(base, MAX_JITTER))

    def _item(self, live: LiveRun, *, target: str | None = None, race: bool = False, first: bool = False) -> Item:
        job_id = f"{self._rng.getrandbits(64):016x}"[:13]
        return Item(live, job_id, self.clock.now(), target=target, race=race, first=first)

    def _dispatch(self, item: Item) -> None:
        self.scheduler.spawn(self._execute(item))

    async def _execute(self, item: Item) -> None:
        try:
            run = item.live.run
            if run.status.ended:
                return
            started = self.clock.now()
            if run.status is RunStatus.SCHEDULED:
                self._begin(item.live, started)
            attempt = Attempt(item.attempt, item.queued_at, started)
            planned = run.steps.get(item.target) if item.target else None
            if planned is not None:
                planned.status = StepStatus.RUNNING
                planned.started_at = planned.started_at or started
            reply = await self.client.call(item)
            attempt.ended_at = self.clock.now()
            self._handle(item, reply, attempt)
        finally:
            self.queue.release(item)

    def _begin(self, live: LiveRun, now: float) -> None:
        run = live.run
        run.status = RunStatus.RUNNING
        run.started_at = now
        if (timer := live.timers.pop("start", None)) is not None:
            timer.cancel()
        if run.function.flow.timeout_finish:
            live.timers["finish"] = self.scheduler.call_in(
                run.function.flow.timeout_finish, lambda: self._finish(live, RunStatus.CANCELLED, None, None)
            )

    def _handle(self, item: Item, reply: Reply, attempt: Attempt) -> None:
        live = item.live
        if reply.ops is not None:
            if live.request_version == -1:
                live.request_version = reply.request_version
            self._handle_ops(item, reply, attempt)
        elif live.run.status.ended:
            return
        elif reply.error is None:
            attempt.output = reply.output
            live.run.attempts.append(attempt)
            self._finish(live, RunStatus.COMPLETED, reply.output, None)
        else:
            self._handle_error(item, reply, attempt)

    def _handle_error(self, item: Item, reply: Reply, attempt: Attempt) -> None:
        """A request failed as a whole: ask again, or end the run when no attempt is left."""
        run = item.live.run
        attempt.error = reply.error
        planned = run.steps.get(item.target) if item.target else None
        if planned is not None:
            planned.attempts.append(attempt)
            planned.error, planned.status = reply.error, StepStatus.QUEUED
        else:
            run.attempts.append(attempt)
        if not reply.no_retry and item.attempt + 1 < run.function.max_attempts:
            self.retry(item, reply.retry_at)
            return
        if planned is not None:
            planned.status, planned.ended_at = StepStatus.FAILED, attempt.ended_at
        self._finish(item.live, RunStatus.FAILED, reply.output, reply.error)

    def retry(self, item: Item, retry_at: float | None) -> None:
        """Ask the app the same again, at `retry_at` (on the server's clock) or after the backoff.

        Several steps of one reply may ask for it; there is one retry per attempt.
        """
        when = self.retry_time(item.attempt, retry_at)
        again = Item(
            item.live, item.job_id, self.clock.now(), item.attempt + 1, item.generation + 1, item.target, item.race
        )
        name = f"retry-{item.job_id}-{again.generation}"
        if name in item.live.timers:
            return

        def fire() -> None:
            item.live.timers.pop(name, None)
            self.queue.push(again)

        log.info("run %s: attempt %d failed, next in %.0f s", item.live.run.id, item.attempt, when - self.clock.now())
        item.live.timers[name] = self.scheduler.call_at(when, fire)

    def _handle_ops(self, item: Item, reply: Reply, attempt: Attempt) -> None:
        live, reported = item.live, reply.ops or []
        fresh = [op for op in reported if op.get("op") not in (None, "None") and op.get("id")]
        if live.run.status.ended:
            # A cancelled run lets its running step finish. The step's result is shown, and nothing follows from it.
            for op in fresh:
                if op["op"] in ("Step", "StepRun"):
                    self._ran(live, op, attempt)
            return
        if not fresh:
            self.discover(live, f"redrive-{item.job_id}-{item.generation}")
            return
        if (problem := self._overflow(live, fresh)) is not None:
            self._finish(live, RunStatus.FAILED, problem, problem)
            return
        if len(fresh) > 1:
            # These steps are parallel: the function is called again once all of them have a result.
            live.plan_only = True
            live.pending |= {op["id"] for op in fresh if op["id"] not in live.run.memos}
        for op in fresh:
            self._handle_op(item, op, reply, attempt)
            if live.run.status.ended:
                return

    def _overflow(self, live: LiveRun, reported: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the error with which a run ends that is too large, in the official server's words, or None."""
        if len(live.run.memos.keys() | {op["id"] for op in reported}) > MAX_STEPS:
            message = f"The function run exceeded the step limit of {MAX_STEPS} steps."
            name = "InngestErrFunctionOverflowed"
            return {"error": "function has too many steps", "name": name, "message": message}
        sizes = [len(go_json.dumps(op.get("data"))) for op in reported]
        if max(sizes) > MAX_STEP_BYTES:
            return error_of("step output size is greater than the limit")
        live.state_bytes += sum(sizes)
        if live.state_bytes > MAX_STATE_BYTES:
            message = f"The function run exceeded the state size limit of {MAX_STATE_BYTES} bytes."
            name = "InngestErrStateOverflowed"
            return {"error": f"{name}: {message}", "name": name, "message": message}
        return None

    def _handle_op(self, item: Item, op: dict[str, Any], reply: Reply, attempt: Attempt) -> None:
        live, code = item.live, op["op"]
        race = item.race or (op.get("opts") or {}).get("parallelMode") == "race"
        name = str(op.get("displayName"))
        if code in ("Step", "StepRun") and self.to_fail[name]:
            self.to_fail[name] -= 1
            code, op = "StepError", {**op, "error": error_of(f"{name} was made to fail", "MadeToFail")}
        if code in ("Step", "StepRun"):
            step = self._ran(live, op, attempt)
            self.save(live, step, {"data": op.get("data")}, race)
        elif code in ("StepError", "StepFailed"):
            step = self._step_failed(live, op, attempt)
            last = reply.no_retry or item.attempt + 1 >= live.run.function.max_attempts
            if code == "StepError" and not last:
                self.retry(item, reply.retry_at)
            else:
                step.status, step.ended_at = StepStatus.FAILED, attempt.ended_at
                self.save(live, step, {"error": _memo_error(op.get("error"))}, race)
        elif code == "StepPlanned":
            live.reported_step(op, StepOp.RUN, StepStatus.QUEUED, self.clock.now())
            self.target(live, op["id"], race)
        else:
            self._begin_server_step(item, op, race)

    def _begin_server_step(self, item: Item, op: dict[str, Any], race: bool) -> None:
        """Begin a step that the server carries out; the run fails when that cannot be done."""
        live, code = item.live, op["op"]
        try:
            if code == "Sleep":
                self.server_steps.sleep(live, op, race)
            elif code == "WaitForEvent":
                self.server_steps.wait_for_event(live, op, race)
            elif code == "InvokeFunction":
                self.server_steps.invoke(live, op, race)
            elif code == "AIGateway":
                self.server_steps.call_model(item, op, race)
            else:
                message = f"{code} is not supported by this stand-in; use the official server: {OFFICIAL_COMMAND}"
                body = error_of(message, "Unsupported")
                self._finish(live, RunStatus.FAILED, body, body)
        except InvalidOpError as error:
            self._finish(live, RunStatus.FAILED, error.body, error.body)

    def _ran(self, live: LiveRun, op: dict[str, Any], attempt: Attempt) -> Step:
        step = self._attempted(live, op, attempt)
        step.status, step.ended_at = StepStatus.COMPLETED, attempt.ended_at
        step.output = attempt.output = op.get("data")
        step.error = None
        return step

    def _step_failed(self, live: LiveRun, op: dict[str, Any], attempt: Attempt) -> Step:
        step = self._attempted(live, op, attempt)
        step.status = StepStatus.QUEUED
        step.error = attempt.error = _memo_error(op.get("error"))
        return step

    def _attempted(self, live: LiveRun, op: dict[str, Any], attempt: Attempt) -> Step:
        step = live.reported_step(op, StepOp.RUN, StepStatus.RUNNING, self.clock.now())
        if not step.attempts:
            step.queued_at = min(step.queued_at, attempt.queued_at)
        step.started_at = step.started_at or attempt.started_at
        step.attempts.append(attempt)
        return step


def _memo_error(error: Json) -> dict[str, Any]:
    if not isinstance(error, dict):
        return {"name": "Error", "message": "Step execution error"}
    return {key: error[key] for key in ("message", "name", "stack", "data", "cause") if error.get(key) is not None}
