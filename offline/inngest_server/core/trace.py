"""A run's trace as a tree of spans, from which the REST API v2, MCP and GraphQL show each their part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from .state import Attempt, Json, Run, RunStatus, Step, StepStatus


@dataclass(slots=True)
class Span:
    """A run, one of its steps, the function's own end, or one attempt of the latter two."""

    id: str
    name: str
    status: str
    """QUEUED, RUNNING, WAITING, COMPLETED, FAILED or CANCELLED."""
    queued_at: float
    started_at: float | None
    ended_at: float | None
    output: Json
    error: dict[str, Json] | None
    step: Step | None = None
    """The step that the span, or the span of which it is an attempt, shows."""
    is_attempt: bool = False
    children: list[Span] = field(default_factory=list)


def trace_of(run: Run) -> Span:
    """The run's span; its children are the steps in their order and, last, the function's own end.

    A step's span has one child per attempt once an attempt failed or a second one began, so that retries can be
    counted in the trace.
    """
    children = [_step_span(run, step) for step in run.steps.values()]
    if run.attempts:
        children.append(_end_span(run))
    return Span(
        id=span_id(run.id),
        name="Run",
        status=run.status.v2_name,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        output=run.output,
        error=run.output if run.status is RunStatus.FAILED else None,
        children=children,
    )


def span_id(*parts: object) -> str:
    """A span's id: 16 hex digits, the same at every reading."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:16]


def duration_ms(start: float | None, end: float | None) -> int | None:
    """Milliseconds between two instants; None while one of them has not come."""
    if start is None or end is None:
        return None
    return max(0, round((end - start) * 1000))


def _step_span(run: Run, step: Step) -> Span:
    status = str(step.status)
    if step.status is StepStatus.TIMED_OUT:
        status = "FAILED" if step.error else "COMPLETED"
    return Span(
        id=span_id(run.id, step.id),
        name=step.name,
        status=status,
        queued_at=step.queued_at,
        started_at=step.started_at,
        ended_at=step.ended_at,
        output=step.output,
        error=step.error,
        step=step,
        children=_attempt_spans(run, step.attempts, step) if len(step.attempts) > 1 or _failed(step.attempts) else [],
    )


def _end_span(run: Run) -> Span:
    first, last = run.attempts[0], run.attempts[-1]
    return Span(
        id=span_id(run.id, "end"),
        name="Finalization",
        status=_attempt_status(last),
        queued_at=first.queued_at,
        started_at=first.started_at,
        ended_at=last.ended_at,
        output=last.output,
        error=last.error,
        children=_attempt_spans(run, run.attempts, None) if _failed(run.attempts) else [],
    )


def _attempt_spans(run: Run, attempts: Sequence[Attempt], step: Step | None) -> list[Span]:
    return [
        Span(
            id=span_id(run.id, step.id if step else "end", attempt.number),
            name=f"Attempt {attempt.number}",
            status=_attempt_status(attempt),
            queued_at=attempt.queued_at,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            output=attempt.output,
            error=attempt.error,
            step=step,
            is_attempt=True,
        )
        for attempt in attempts
    ]


def _failed(attempts: Sequence[Attempt]) -> bool:
    return any(attempt.error for attempt in attempts)


def _attempt_status(attempt: Attempt) -> str:
    if attempt.error:
        return "FAILED"
    if attempt.ended_at is not None:
        return "COMPLETED"
    return "RUNNING" if attempt.started_at is not None else "QUEUED"
