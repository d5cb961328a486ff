"""Runs a run once more, as a new run: what the REST API v2 and the MCP tool `rerun` ask for."""

from __future__ import annotations

from dataclasses import replace

from .engine import Engine
from .state import Run


class StepNotFoundError(LookupError):
    """The run has no such step."""


class AmbiguousStepError(ValueError):
    """Several steps of the run have that name."""


def rerun(engine: Engine, run: Run, from_step: str | None = None) -> Run:
    """Start `run`'s function again with the same event, past idempotency and rate limit.

    As on the official server, only the first event of a batch comes along. With `from_step` (a step's name or hashed
    id) the new run keeps all results that came in before that step's. Raises `StepNotFoundError`,
    `AmbiguousStepError`, and `ValueError` where the function's debounce or singleton keeps the new run out.
    """
    kept = run.stack[: _position(run, from_step)] if from_step else []
    function = engine.state.functions.get(run.function.id, run.function)
    if function.flow.debounce:
        raise ValueError("function debounced")
    again = engine.start_run(function, run.events[:1], None, run.original_run_id or run.id)
    if again is None:
        raise ValueError(f"a run of the singleton {function.id} is active")
    # The new run's first request has only been queued, so it will carry these results.
    again.stack.extend(kept)
    for step_id in kept:
        again.memos[step_id] = run.memos[step_id]
        again.steps[step_id] = replace(run.steps[step_id])
    return again


def _position(run: Run, name: str) -> int:
    """How many results had come in before that of the step called `name`."""
    found = {name} if name in run.steps else {step.id for step in run.steps.values() if step.name == name}
    if not found:
        raise StepNotFoundError(f"no step {name} in run {run.id}")
    if len(found) > 1:
        raise AmbiguousStepError(f"several steps are called {name}")
    (step_id,) = found
    return run.stack.index(step_id) if step_id in run.stack else len(run.stack)
