"""What the engine's calls lead to, as seen from inside the SDK: which run, which step, which try, and how it ended.

It counts the executions, and tells the observers that the settings ask for. An observer that fails is heard of in the
log, and the step goes on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import inngest

from telemetry import executions
from telemetry.current import Run, current

# What the SDK calls a step that was tried, in its answer to the engine. The others say what is to be waited for or run.
TRIED = {"StepRun", "StepError", "StepFailed"}
logger = logging.getLogger("customer-support")


class Observer(Protocol):
    """Whoever wants to hear of the engine's calls."""

    def began(self, run: Run, event: inngest.Event) -> None:
        """The engine calls a function, for the first time or again."""

    def ended(self, run: Run, step: str | None, error: Exception | None, seconds: float) -> None:
        """A step was tried, or the whole function has ended (`step` is None). What only waits is not told."""


def observing(observers: Sequence[Observer]) -> Callable[[inngest.Inngest, object], inngest.Middleware]:
    """What the client is given; the SDK makes one object of it for each call."""
    return lambda client, request: Telemetry(client, request, observers)


class Telemetry(inngest.Middleware):
    """Accompanies one call of the engine."""

    def __init__(self, client: inngest.Inngest, raw_request: object, observers: Sequence[Observer]) -> None:
        super().__init__(client, raw_request)
        self._request: Any = raw_request
        self._observers = observers
        self._step: str | None = None
        self._began = time.monotonic()

    async def transform_input(self, ctx: Any, function: inngest.Function[Any], steps: Any) -> None:
        """Note whose call it is. `steps` are the results that the engine remembers."""
        run = Run(function.local_id, ctx.run_id, ctx.event.id, ctx.attempt, ctx.request_id)
        current.set(run)
        self._notice_steps(ctx.step)
        asked_for = getattr(self._request, "query_params", {}).get("stepId", "step")
        await executions.keep(run, done=steps.size, asked_for=asked_for)
        self._tell(lambda observer: observer.began(run, ctx.event))

    async def transform_output(self, result: Any) -> None:
        """Tell how it ended. The SDK does not say which step raised, if its error decides about the next try."""
        run, step = current.get(), result.step
        if run is None or (step is not None and step.op.value not in TRIED):
            return
        name = step.id if step is not None else None
        if name is None and result.error is not None:
            name = self._step
        seconds = time.monotonic() - self._began
        self._tell(lambda observer: observer.ended(run, name, result.error, seconds))

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
