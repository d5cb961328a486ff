"""What the stand-in engine knows: apps, functions, events, runs and their steps.

This is plain data with no behaviour beyond look-ups: the engine writes it, the views only read it. It lives in memory
and dies with the process, as in the official dev server.

Every field whose name ends in `_at` is in seconds since the epoch, UTC, on the server's clock (`clock.py`), which
`advance` moves ahead of the host's; None means that it has not happened. `iso` formats one.
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

DEFAULT_RETRIES = 4
"""Retries of a function whose author named no number."""

ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"
ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"


def iso(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as the official server prints run times."""
    if seconds is None:
        return None
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def stable_uuid(name: str) -> str:
    """An id that is the same for the same name in every process, so that an app that registers again keeps its ids."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def error_of(message: str, name: str = "Error") -> dict[str, Json]:
    """An error of the server's own, in the shape in which the official one tells it."""
    return {"error": message, "name": name, "message": message}


class RunStatus(StrEnum):
    """Where a run is in its life, spelled as the official REST API v1 spells it."""

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
    """What kind of step it is, spelled as the official trace spells it."""

    RUN = "RUN"
    SLEEP = "SLEEP"
    WAIT_FOR_EVENT = "WAIT_FOR_EVENT"
    INVOKE = "INVOKE"
    AI_GATEWAY = "AI_GATEWAY"


class StepStatus(StrEnum):
    """Where a step is in its life. It is QUEUED when planned and between two attempts, and WAITING while it sleeps or
    waits for an event or a run."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


@dataclass(slots=True)
class Attempt:
    """One request to the app: for a step, or, in `Run.attempts`, for the function's own body."""

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
    """What the author wrote as step id."""
    op: StepOp
    status: StepStatus
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """All attempts of a RUN or AI_GATEWAY step. The other kinds have none."""
    output: Json = None
    """The value the step returned; for a wait the event that came, or None when it timed out."""
    error: dict[str, Json] | None = None
    """The error of the last attempt; None again once a later attempt succeeds."""
    opts: dict[str, Json] = field(default_factory=dict)
    """What is particular to its kind. SLEEP has `until` (seconds since the epoch); WAIT_FOR_EVENT has `event`, `if`,
    `timeout_at` and `matched_event_id`; INVOKE has `function_id` (the slug), `timeout_at`, `triggering_event_id` and,
    once the invoked run exists, its `run_id`."""


@dataclass(slots=True)
class Event:
    """One received event."""

    internal_id: str
    """A ULID that the server made, or that it derived from the sender's seed."""
    id: str
    """The sender's id, or `internal_id` when it gave none."""
    name: str
    data: dict[str, Json]
    ts: int
    """Milliseconds since the epoch, as sent, or when the event came in if the sender gave none."""
    received_at: float
    due_at: float | None = None
    """When its runs may start; only set when the sender put `ts` into the future."""
    user: dict[str, Json] = field(default_factory=dict)
    v: str | None = None
    cron: str | None = None
    """The schedule, for the event of a cron tick."""
    run_ids: list[str] = field(default_factory=list)
    """Runs this event triggered, oldest first. A batch's run is listed under each of its events."""
    deliveries: int = 1
    """How often it came in: more than once when a sender repeated a request whose answer it had lost."""
    _payload: dict[str, Json] | None = None

    def payload(self) -> dict[str, Json]:
        """The event as functions see it. All callers share one object and must not change it."""
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
    """What starts a function: an event's name with an optional expression, or a cron schedule."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: float = 0.0
    """Seconds a tick may be late."""


@dataclass(slots=True)
class Concurrency:
    """At most `limit` steps run at once, for each value of `key` or, without one, altogether."""

    limit: int
    key: str | None = None
    scope: str = "fn"
    """`fn` counts this function's steps; `env` and `account` those of all functions with the same key."""


@dataclass(slots=True)
class Cancel:
    """Cancels a run when `event` comes and `expression` holds; in it `event` is the run's and `async` the new one."""

    event: str
    expression: str | None = None
    timeout: float | None = None
    """Seconds after the run was queued for which the cancellation listens; None for a year."""


@dataclass(slots=True)
class FlowSettings:
    """A function's settings that decide whether and when a run starts. Times are in seconds, keys are expressions.

    The dictionaries hold the fields that the line below each names.
    """

    concurrency: list[Concurrency] = field(default_factory=list)
    cancel: list[Cancel] = field(default_factory=list)
    batch: dict[str, Json] | None = None
    """`maxSize`, `timeout`, `key`, `if`."""
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
    """One registered function."""

    id: str
    """The slug that the SDK sends: the app's id, a hyphen, and the function's."""
    name: str
    app_id: str
    url: str
    """Where its requests go: the registered address without `fnId` and `stepId`."""
    triggers: list[Trigger]
    flow: FlowSettings
    config: dict[str, Json]
    """The registration as the SDK sent it."""
    retries: int | None = None
    """As registered; None stands for the default."""
    archived: bool = False
    """True once a newer sync of its app no longer names it. Its runs that have begun go on."""
    version: int = 1
    """How many syncs made or changed it."""

    @property
    def uuid(self) -> str:
        """The id that REST answers and `ctx.fn_id` show; it is the same in every process."""
        return stable_uuid(self.id)

    @property
    def local_id(self) -> str:
        """The id its author wrote, without the app's prefix."""
        return self.id.removeprefix(f"{self.app_id}-")

    @property
    def max_attempts(self) -> int:
        """The first attempt and the retries."""
        return (DEFAULT_RETRIES if self.retries is None else self.retries) + 1


@dataclass(slots=True)
class App:
    """One synced app."""

    id: str
    url: str
    created_at: float
    sdk_language: str = ""
    sdk_version: str = ""
    framework: str = ""
    version: str | None = None
    error: str | None = None
    """Why the last sync failed; None when it worked."""
    checksum: str = ""
    """Of the registration, so that one that changes nothing is recognised."""

    @property
    def uuid(self) -> str:
        """The id that `/fn/register` answers with; it is the same in every process."""
        return stable_uuid(self.id)


@dataclass(slots=True)
class Run:
    """One run of one function."""

    id: str
    function: Function
    """As it is registered while the run lives, and as it was at its end afterwards."""
    events: list[Event]
    """What triggered it: one event, or the events of a batch."""
    queued_at: float
    status: RunStatus = RunStatus.SCHEDULED
    started_at: float | None = None
    ended_at: float | None = None
    output: Json = None
    """The value that a completed run returned, or the error (`name`, `message`, `stack`) of a failed one."""
    steps: dict[str, Step] = field(default_factory=dict)
    """By hashed id, in the order in which they were first reported."""
    attempts: list[Attempt] = field(default_factory=list)
    """Requests that ended with an error outside every step, and the one with which the function returned."""
    memos: dict[str, Json] = field(default_factory=dict)
    """What the app gets as `steps`: by hashed id `{"data": …}`, `{"error": …}`, an event, or None."""
    stack: list[str] = field(default_factory=list)
    """Hashed ids in the order in which their results came in."""
    original_run_id: str | None = None
    """For a rerun: the run it repeats."""
    batch_id: str | None = None
    cron: str | None = None
    invoked_by: tuple[str, str] | None = None
    """Run id and hashed step id of the `step.invoke` that waits for this run."""
    priority: int = 0
    """Seconds by which the run counts as older than it is; negative ones make it younger."""

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
    """Everything, by id. Dictionaries keep the order in which things came in, so the last item is the newest."""

    apps: dict[str, App] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    """By slug. Archived ones stay."""
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
