"""What the engine has to know of a run while it lives. It is forgotten when the run ends.

What people may see of a run is in `state.Run`.
"""

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
    """The concurrency pools, with their sizes, in each of which its every request takes a slot; keyed ones first."""
    cancels: list[Cancel] = field(default_factory=list)
    """What cancels it, as registered when it was made; a later sync does not change that."""
    throttle_key: str | None = None
    singleton_key: str | None = None
    request_version: int = -1
    """Which version of the protocol the SDK said it speaks, sent back with every request; -1 until it said so."""
    state_bytes: int = 0
    """Bytes of JSON in the step results that were reported so far."""
    plan_only: bool = False
    """True while parallel steps are pending: the SDK must report new steps then instead of running them."""
    pending: set[str] = field(default_factory=set)
    """Parallel steps whose results are awaited before the function is called again."""
    jobs: set[str] = field(default_factory=set)
    """Names of everything that was ever queued for this run, so that a repeated report queues nothing twice."""
    timers: dict[str, Timer] = field(default_factory=dict)
    """Sleeps, timeouts and retries, by hashed step id or by purpose."""

    def reported_step(self, op: dict[str, Any], kind: StepOp, status: StepStatus, now: float) -> Step:
        """Return the step that `op` reports. The first report makes it, with this kind and status."""
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
    """Whether it is the run's first request, which is what a throttle counts."""
    moved_at: float | None = None
    """When its most specific pool had a slot for it and it went on to wait at a wider pool."""

    def order(self, widened: bool) -> tuple[int, float]:
        """The key by which waiting items are sorted: those of begun runs go first, then older ones.

        Priority shifts the age. In a pool that several keys share (`widened`) the age counts from when the item
        reached that pool, so that the old backlog of one key does not keep the others out.
        """
        run = self.live.run
        if run.started_at is not None:
            return 0, run.queued_at - run.priority
        since = self.moved_at if widened and self.moved_at is not None else run.queued_at
        return 1, since - run.priority
