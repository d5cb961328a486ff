"""What the engine's calls lead to, as seen from inside the SDK: which run, which step, which try, and how it ended.

It counts the executions, and tells the observers that the settings ask for. An observer that fails is heard of in the
log, and the step goes on.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import inngest

from telemetry import executions
from telemetry.current import Run, current, story_of

# What the SDK calls a step that was tried, in its answer to the engine. The others say what is to be waited for or run.
TRIED = {"StepRun", "StepError", "StepFailed"}
logger = logging.getLogger("customer-support")


@dataclass(frozen=True)
class End:
    """How a call ended: a step was tried, or the whole function has ended (`step` is None).

    With `waits` neither is the case: the engine was told what to wait for, or which steps to run side by side.
    """

    step: str | None
    error: Exception | None
    seconds: float
    waits: bool


class Observer(Protocol):
    """Whoever wants to hear of the engine's calls. All of one call's happens in one task."""

    def began(self, run: Run, event: inngest.Event, headers: Mapping[str, str]) -> None:
        """The engine calls a function, for the first time or again."""

    def ended(self, run: Run, event: inngest.Event, end: End) -> None:
        """The call is over, and is about to be answered."""

    def sends(self, events: Sequence[inngest.Event]) -> None:
        """Events are about to be sent, by a run or by a request from outside."""


def observing(observers: Sequence[Observer]) -> Callable[[inngest.Inngest, object], inngest.Middleware]:
    """What the client is given; the SDK makes one object of it for each call."""
    return lambda client, request: Telemetry(client, request, observers)


class Telemetry(inngest.Middleware):
    """Accompanies one call of the engine, or one sending of events."""

    def __init__(self, client: inngest.Inngest, raw_request: object, observers: Sequence[Observer]) -> None:
        super().__init__(client, raw_request)
        self._request: Any = raw_request
        self._observers = observers
        self._began = time.monotonic()
        self._run: Run | None = None
        self._event = inngest.Event(name="none")
        self._step: str | None = None
        self._end = End(None, None, 0, waits=True)

    async def transform_input(self, ctx: Any, function: inngest.Function[Any], steps: Any) -> None:
        """Note whose call it is. `steps` are the results that the engine remembers."""
        self._event = ctx.event
        story = story_of(ctx.event.id, ctx.event.data)
        self._run = run = Run(function.local_id, ctx.run_id, ctx.event.id, ctx.attempt, ctx.request_id, story)
        current.set(run)
        self._notice_steps(ctx.step)
        asked_for = getattr(self._request, "query_params", {}).get("stepId", "step")
        executions.keep(run, done=steps.size, asked_for=asked_for)
        headers = getattr(self._request, "headers", {})
        self._tell(lambda observer: observer.began(run, self._event, headers))

    async def transform_output(self, result: Any) -> None:
        """Note how it ended. The SDK does not say which step raised, if its error decides about the next try."""
        step = result.step
        name = step.id if step is not None else None
        if name is None and result.error is not None:
            name = self._step
        waits = step is not None and step.op.value not in TRIED
        self._end = End(name, result.error, time.monotonic() - self._began, waits)

    async def before_response(self) -> None:
        """Tell how it ended. The SDK skips `transform_output` where several steps are to be run side by side."""
        run = self._run
        if run is not None:
            self._tell(lambda observer: observer.ended(run, self._event, self._end))

    async def before_send_events(self, events: list[inngest.Event]) -> None:
        """Tell which events are sent."""
        self._tell(lambda observer: observer.sends(events))

    def _notice_steps(self, step: Any) -> None:
        run = step.run

        async def noticed(step_id: str, *arguments: Any, **options: Any) -> Any:
            self._step = step_id
            done = await run(step_id, *arguments, **options)
            # It was remembered, so whatever raises now is not this step.
            self._step = None
            return done

        step.run = noticed

    def _tell(self, what: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                what(observer)
            except Exception:
                logger.exception("Telemetry failed, and the run goes on")
