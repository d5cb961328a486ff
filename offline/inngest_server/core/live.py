"""What the engine needs of a run while it lives, and forgets when it ends; `state.Run` keeps what people may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .scheduler import Timer
from .state import Cancel, Run, Step, StepOp, StepStatus


@dataclass(slots=True)
class LiveRun:
    """The engine's side of one run that has not ended."""

    run: Run
    limits: list[tuple[str, int]] = field(default_factory=list)
    """Concurrency pools each of its requests takes a slot of, most specific first, with their sizes."""
    cancels: list[Cancel] = field(default_factory=list)
    """What was registered to cancel it when it began; a later sync does not change that."""
    throttle_key: str | None = None
    singleton_key: str | None = None
    request_version: int = -1
    """-1 until the SDK said which version it speaks; sent back to it with every request."""
    plan_only: bool = False
    """While parallel steps are pending: the SDK must report new steps instead of running them."""
    pending: set[str] = field(default_factory=set)
    """Parallel steps whose results are awaited before the function is called again."""
    jobs: set[str] = field(default_factory=set)
    """Names of everything ever queued for this run, so that a repeated report queues nothing twice."""
    timers: dict[str, Timer] = field(default_factory=dict)
    """Sleeps and timeouts, by hashed step id or purpose."""

    def reported_step(self, op: dict[str, Any], kind: StepOp, status: StepStatus, now: float) -> Step:
        """The step that the SDK reports in `op`; it is made, of this kind and status, at its first report."""
        step = self.run.steps.get(op["id"])
        if step is None:
            name = op.get("displayName") or (op.get("userland") or {}).get("id") or op.get("name") or op["id"]
            step = self.run.steps[op["id"]] = Step(op["id"], name, kind, status, now)
        return step


@dataclass(slots=True)
class Item:
    """One request to be made to the app."""

    live: LiveRun
    job_id: str
    queued_at: float
    attempt: int = 0
    generation: int = 1
    target: str | None = None
    """The hashed id of the one step to run; None lets the function go on to whatever comes next."""
    race: bool = False
    """Whether the targeted step belongs to a group in which every branch goes on by itself."""
    first: bool = False
    """Whether this starts the run, which is what a throttle counts."""
    moved_at: float | None = None
    """When a slot of its most specific pool was free for it and a wider pool was full."""

    def order(self, widened: bool) -> tuple[int, float]:
        """Smaller goes first: what goes on with a begun run, then age, shifted by priority.

        In a pool that several keys share (`widened`) age counts from the moment the item reached it, so that the
        old backlog of one key does not keep the others out.
        """
        run = self.live.run
        if run.started_at is not None:
            return 0, run.queued_at - run.priority
        since = self.moved_at if widened and self.moved_at is not None else run.queued_at
        return 1, since - run.priority
