"""What the stand-in engine knows: apps, functions, events, runs and their steps.

Plain data with no behaviour beyond look-ups, so that the executor (which writes it) and the views
(REST, MCP, GraphQL, which only read it) agree on one place. Everything lives in memory and dies with the
process, like the official dev server's.

Units: every `*_at` is seconds since the epoch, UTC, on the *server's* clock (`clock.py`), which `advance`
moves ahead of the host's. `iso(t)` formats one. `None` means "has not happened".
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Json = Any
"""Any value `json.loads` can return."""

OFFICIAL_COMMAND = "npx inngest-cli@latest dev"
"""Starts the official dev server; named wherever this one does not support something."""

INVOKED = "inngest/function.invoked"
FINISHED = "inngest/function.finished"
FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"
CRON_TICK = "inngest/scheduled.timer"
"""Names of the events that the server itself sends."""

ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"
ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"


def iso(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as the official server prints run times."""
    if seconds is None:
        return None
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def stable_uuid(name: str) -> str:
    """The same name gives the same id in every process, so that a re-synced app keeps its ids."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


class RunStatus(StrEnum):
    """A run's life, spelled as the official REST API spells it."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"

    @property
    def ended(self) -> bool:
        """Whether the run can never change again."""
        return self not in (RunStatus.SCHEDULED, RunStatus.RUNNING)

    @property
    def v2_name(self) -> str:
        """The status as the REST API v2 and GraphQL spell it: in capitals, and QUEUED for Scheduled."""
        return "QUEUED" if self is RunStatus.SCHEDULED else self.upper()


class StepOp(StrEnum):
    """What a step does, spelled as the official trace spells it."""

    RUN = "RUN"
    SLEEP = "SLEEP"
    WAIT_FOR_EVENT = "WAIT_FOR_EVENT"
    INVOKE = "INVOKE"
    AI_GATEWAY = "AI_GATEWAY"


class StepStatus(StrEnum):
    """A step's life. `QUEUED`: planned or between two attempts; `WAITING`: asleep, or for an event or a run."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


@dataclass(slots=True)
class Attempt:
    """One request to the app: for a step, or (in `Run.attempts`) for the function's own body."""

    number: int
    """Counts from 0, like `ctx.attempt`."""
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    error: dict[str, Json] | None = None
    """`{"name", "message", "stack"?}` of a failed attempt."""
    output: Json = None


@dataclass(slots=True)
class Step:
    """One step of one run, with its history."""

    id: str
    """The hashed id the SDK reports and expects back in `steps`."""
    name: str
    """The display name: what the author wrote as step id."""
    op: StepOp
    status: StepStatus
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """Every attempt of a RUN or AI_GATEWAY step; empty for the others, which ask nothing of the app."""
    output: Json = None
    """The value the step returned; for a wait the event that came, `None` when it timed out."""
    error: dict[str, Json] | None = None
    """The error of the last attempt while it is the truth, i.e. until a later attempt succeeds."""
    opts: dict[str, Json] = field(default_factory=dict)
    """SLEEP: `until` (seconds). WAIT_FOR_EVENT: `event`, `if`, `timeout_at`, `matched_event_id`.
    INVOKE: `function_id` (slug), `timeout_at`, `triggering_event_id`, `run_id` of the invoked run (once known).
    """


@dataclass(slots=True)
class Event:
    """One received event. `id` is the sender's, if given; `internal_id` is always a new ULID."""

    internal_id: str
    id: str
    name: str
    data: dict[str, Json]
    ts: int
    """Milliseconds since the epoch, as sent; the receiving time when the sender gave none."""
    received_at: float
    due_at: float | None = None
    """When its runs may start, for an event whose sender put `ts` into the future."""
    user: dict[str, Json] = field(default_factory=dict)
    v: str | None = None
    cron: str | None = None
    """The schedule, for the event of a cron tick."""
    run_ids: list[str] = field(default_factory=list)
    """Runs this event triggered, oldest first (a batch's run is listed under each of its events)."""
    deliveries: int = 1
    """How often it came in; more than once when a sender repeated a request whose answer it had lost."""
    _payload: dict[str, Json] | None = None

    def payload(self) -> dict[str, Json]:
        """The event as functions see it. One shared object: do not modify it."""
        if self._payload is None:
            body: dict[str, Json] = {
                "data": self.data,
                "id": self.id,
                "name": self.name,
                "ts": self.ts,
                "user": self.user,
            }
            if self.v is not None:
                body["v"] = self.v
            self._payload = body
        return self._payload


@dataclass(slots=True)
class Trigger:
    """Either an event name with an optional expression, or a cron schedule."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: float = 0.0
    """Seconds a tick may be late."""


@dataclass(slots=True)
class Concurrency:
    """At most `limit` steps at once, per value of `key` (one pool when None), in `scope`."""

    limit: int
    key: str | None = None
    scope: str = "fn"
    """`fn`, `env` or `account`."""


@dataclass(slots=True)
class Cancel:
    """Cancels a run when `event` comes and `expression` (over `event` and `async`) holds."""

    event: str
    expression: str | None = None
    timeout: float | None = None
    """Seconds after the run's start until which the cancellation listens."""


@dataclass(slots=True)
class FlowControl:
    """The settings that decide whether and when a run starts. Times are seconds; keys are expressions."""

    concurrency: list[Concurrency] = field(default_factory=list)
    cancel: list[Cancel] = field(default_factory=list)
    batch: dict[str, Json] | None = None
    """`max_size`, `timeout`, `key`, `if`."""
    debounce: dict[str, Json] | None = None
    """`period`, `timeout`, `key`."""
    rate_limit: dict[str, Json] | None = None
    """`limit`, `period`, `key`."""
    throttle: dict[str, Json] | None = None
    """`limit`, `period`, `burst`, `key`."""
    singleton: dict[str, Json] | None = None
    """`mode` (skip or cancel), `key`."""
    priority: str | None = None
    idempotency: str | None = None
    timeout_start: float | None = None
    timeout_finish: float | None = None


@dataclass(slots=True)
class Function:
    """One registered function. `id` is the slug the SDK sends (`app-fn`); REST and `ctx.fn_id` show `uuid`."""

    id: str
    name: str
    app_id: str
    url: str
    """Where its requests go (the step's runtime URL, without `fnId` and `stepId`)."""
    triggers: list[Trigger]
    flow: FlowControl
    config: dict[str, Json]
    """The registration as the SDK sent it."""
    retries: int | None = None
    """As registered; None means the default of 4."""
    archived: bool = False
    """True once a newer sync of its app no longer names it; its running runs go on."""
    version: int = 1
    """Counts the syncs that changed it."""

    @property
    def uuid(self) -> str:
        """The id REST answers show; the same in every process."""
        return stable_uuid(self.id)

    @property
    def local_id(self) -> str:
        """The id its author wrote, without the app's prefix."""
        return self.id.removeprefix(f"{self.app_id}-")

    @property
    def max_attempts(self) -> int:
        """First try and retries."""
        return (4 if self.retries is None else self.retries) + 1


@dataclass(slots=True)
class App:
    """One synced app. `error` is the last reason a sync failed, None when the last one worked."""

    id: str
    url: str
    created_at: float
    synced_at: float
    sdk_language: str = ""
    sdk_version: str = ""
    framework: str = ""
    version: str | None = None
    error: str | None = None
    checksum: str = ""
    syncs: int = 0
    """How many syncs changed its functions."""

    @property
    def uuid(self) -> str:
        """The id `/fn/register` answers with; the same in every process."""
        return stable_uuid(self.id)


@dataclass(slots=True)
class Run:
    """One run of one function."""

    id: str
    function: Function
    """As it is registered; after the run's end, as it was then."""
    events: list[Event]
    """What triggered it: one event, or the events of a batch."""
    queued_at: float
    status: RunStatus = RunStatus.SCHEDULED
    started_at: float | None = None
    ended_at: float | None = None
    output: Json = None
    """The returned value of a completed run; the error (`name`, `message`, `stack`) of a failed one."""
    steps: dict[str, Step] = field(default_factory=dict)
    """By hashed id, in the order in which they were first seen."""
    attempts: list[Attempt] = field(default_factory=list)
    """Requests that ended with an error outside every step, and the last one that returned."""
    memos: dict[str, Json] = field(default_factory=dict)
    """What the app gets as `steps`: `{"data": …}`, `{"error": …}`, an event, or None, by hashed id."""
    stack: list[str] = field(default_factory=list)
    """Hashed ids in the order in which their results came in."""
    original_run_id: str | None = None
    """For a rerun: the run it repeats."""
    batch_id: str | None = None
    cron: str | None = None
    invoked_by: tuple[str, str] | None = None
    """(run id, hashed step id) of the `step.invoke` that waits for this run."""
    cancel_reason: str | None = None
    priority: int = 0
    """Seconds by which the run is treated as older (positive) or younger than it is."""

    @property
    def app_id(self) -> str:
        """The app the function belongs to."""
        return self.function.app_id

    @property
    def event(self) -> Event:
        """The event that triggered the run (of a batch: the first)."""
        return self.events[0]


@dataclass(slots=True)
class State:
    """Everything, by id. Dictionaries keep the order of arrival: the last item is the newest."""

    apps: dict[str, App] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    """By slug; archived ones stay."""
    events: dict[str, Event] = field(default_factory=dict)
    """By internal id."""
    runs: dict[str, Run] = field(default_factory=dict)

    def active_functions(self, app_id: str | None = None) -> Iterator[Function]:
        """Functions of the newest sync, of one app or of all."""
        for function in self.functions.values():
            if not function.archived and (app_id is None or function.app_id == app_id):
                yield function

    def find_function(self, id_or_uuid: str, app_id: str | None = None) -> Function | None:
        """Look a function up by slug, by UUID or, with `app_id`, by the id its author wrote."""
        found = self.functions.get(id_or_uuid)
        if found is None and app_id is not None:
            found = self.functions.get(f"{app_id}-{id_or_uuid}")
        if found is None:
            found = next((f for f in self.functions.values() if f.uuid == id_or_uuid), None)
        return None if found is None or found.archived else found

    def runs_of_event(self, internal_id: str) -> list[Run]:
        """Runs an event triggered, oldest first; empty for an unknown event."""
        event = self.events.get(internal_id)
        return [self.runs[i] for i in event.run_ids if i in self.runs] if event else []
