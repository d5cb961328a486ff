"""The answers of the official server's REST API v2, which its MCP tools hand on word for word.

Views over `state.py`: nothing here changes it. Field names, their order and what is left out follow protobuf's
JSON (https://protobuf.dev/programming-guides/json/): camelCase; absent instead of false, 0 or empty; 64-bit integers
as strings. A step's span has one child per attempt once an attempt of it failed or a second one began, so that
retries can be counted in the trace.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from offline.inngest_server.core.state import App, Attempt, Function, Json, Run, RunStatus, State, Step, StepStatus, iso

PAGE = 20
"""Items per page when the caller names no limit."""
MAX_PAGE = 100
MAX_EVENT_RUNS_PAGE = 40
DEFAULT_RETRIES = 4
ULID_LENGTH = 26

Object = dict[str, Json]


class HasId(Protocol):
    """What can be listed in pages."""

    @property
    def id(self) -> str:
        """What a cursor points at."""


Item = TypeVar("Item", bound=HasId)


class ApiError(Exception):
    """A refusal, with the HTTP `status` and the error `code` that the REST API v2 would answer."""

    def __init__(self, status: int, code: str, message: str, body: Object | None = None) -> None:
        """Refuse with `message`, in the words of the official server; or with a `body` of its own."""
        super().__init__(message)
        self.status = status
        self.code = code
        self._body = body

    def body(self) -> Object:
        """The JSON body of the refusal."""
        return self._body or {"errors": [{"code": self.code, "message": str(self)}]}


def answer(now: float, data: Json, page: Object | None = None) -> Object:
    """Wrap `data` as every v2 answer is wrapped, an empty list left out. `now`: seconds since the epoch."""
    body: Object = {"data": data} if data != [] else {}
    body["metadata"] = {"fetchedAt": iso(now)}
    if page is not None:
        body["page"] = page
    return body


def find_run(state: State, run_id: str) -> Run:
    """Return the run with this ULID; raise ApiError 400 for another format, 404 for an unknown run."""
    if len(run_id) != ULID_LENGTH or not run_id.isalnum():
        raise ApiError(400, "invalid_field_format", "Run ID must be a valid ULID")
    if run_id not in state.runs:
        raise ApiError(404, "not_found", "Run not found")
    return state.runs[run_id]


def find_app(state: State, app_id: str) -> App:
    """Return the app with this id; raise ApiError 404."""
    if app_id not in state.apps:
        raise ApiError(404, "not_found", "App not found")
    return state.apps[app_id]


def find_function(state: State, app_id: str, function_id: str) -> Function:
    """Return the app's function, by the id its author wrote, its slug or its UUID; raise ApiError 404."""
    function = state.find_function(function_id, app_id)
    if function is None or function.app_id != app_id:
        raise ApiError(404, "not_found", "Function not found")
    return function


def app_view(state: State, app: App) -> Object:
    """One app with its latest sync."""
    sync = {
        "error": app.error,
        "framework": app.framework,
        "sdkLanguage": app.sdk_language,
        "sdkVersion": app.sdk_version,
        "url": app.url,
        "appVersion": app.version,
    }
    return _present(
        createdAt=iso(app.created_at),
        functionCount=len(list(state.active_functions(app.id))),
        id=app.id,
        latestSync=_present(**sync),
        method="CONNECT" if app.framework == "connect" else "SERVE",
        name=app.id,
    )


def function_view(function: Function) -> Object:
    """One function: triggers and the flow control it registered with (periods as the SDK sent them)."""
    return {
        "app": {"id": function.app_id},
        "configuration": _configuration(function),
        "id": function.local_id,
        "name": function.name,
        "slug": function.local_id,
        "triggers": [
            _present(type="CRON", value=t.cron) if t.cron
            else _present(**{"if": t.expression}, type="EVENT", value=t.event)
            for t in function.triggers
        ],
    }  # fmt: skip


def run_view(run: Run, *, include_output: bool) -> Object:
    """One run's summary. `output` is the returned value, or the error of a failed run."""
    return _present(
        app={"id": run.app_id},
        durationMs=_duration(run.started_at or run.queued_at, run.ended_at),
        endedAt=iso(run.ended_at),
        function={"id": run.function.local_id, "name": run.function.name},
        id=run.id,
        output=_as_object(run.output) if include_output else None,
        queuedAt=iso(run.queued_at),
        startedAt=iso(run.started_at or run.queued_at),
        status=_run_status(run),
        trigger=_present(
            eventIds=[run.event.internal_id],
            isBatch=run.batch_id is not None,
            batchId=run.batch_id,
            cronSchedule=run.cron,
        ),
    )


def trace_view(run: Run, *, include_output: bool) -> Object:
    """The run's tree of spans: the run, its steps in order, their attempts, and the function's own end."""
    children = [_step_span(run, step, include_output) for step in run.steps.values()]
    if run.attempts:
        children.append(_body_span(run, include_output))
    events = [{"data": event.data, "id": event.id, "name": event.name} for event in run.events]
    status = _run_status(run).replace("QUEUED", "WAITING")
    if status == "RUNNING" and any(step.status is StepStatus.QUEUED for step in run.steps.values()):
        status = "WAITING"
    return {
        "rootSpan": _present(
            children=children,
            durationMs=_duration(run.started_at, run.ended_at),
            endedAt=iso(run.ended_at),
            id=span_id(run.id),
            input=_as_object(events) if include_output else None,
            name="Run",
            output=_as_object(run.output) if include_output else None,
            queuedAt=iso(run.queued_at),
            startedAt=iso(run.started_at),
            status=status,
        ),
        "runId": run.id,
    }


def span_id(*parts: object) -> str:
    """A span's id: 16 hex digits, the same at every reading."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:16]


def page_of(
    items: Sequence[Item], cursor: str | None, limit: int | None, most: int = MAX_PAGE
) -> tuple[Sequence[Item], Object]:
    """Cut one page out of `items` and describe it; raise ApiError 400 for a bad limit or cursor."""
    size = limit or PAGE
    if size < 1:
        raise ApiError(400, "invalid_field_format", "Limit must be at least 1")
    if size > most:
        raise ApiError(400, "invalid_field_format", f"Limit cannot exceed {most}")
    start = 0
    if cursor:
        try:
            last = json.loads(base64.b64decode(cursor, validate=True))["id"]
            start = [item.id for item in items].index(last) + 1
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise ApiError(400, "invalid_field_format", "Cursor is invalid") from error
    page = items[start : start + size]
    if start + size >= len(items):
        return page, {"limit": size}
    next_cursor = base64.b64encode(json.dumps({"id": page[-1].id}).encode()).decode()
    return page, {"cursor": next_cursor, "hasMore": True, "limit": size}


def select_runs(state: State, args: Object) -> list[Run]:
    """Runs that match the filters of `list_runs`, newest first unless `order` is ASC; raise ApiError 400."""
    if args.get("functionId") and not args.get("appId"):
        raise ApiError(400, "invalid_field_format", "appId is required when filtering by functionId")
    moment = _time_field(args.get("timeField"))
    wanted = {_status_filter(status) for status in args.get("status") or []}
    start, end = _timestamp(args, "from"), _timestamp(args, "until")
    if start is not None and end is not None and start >= end:
        raise ApiError(400, "invalid_field_format", "from must be before until")
    order = str(args.get("order") or "DESC").strip().upper()
    if order not in ("ASC", "DESC"):
        raise ApiError(400, "invalid_field_format", "order is invalid")

    def keep(run: Run) -> bool:
        at = getattr(run, moment)
        return (
            (not wanted or _run_status(run) in wanted)
            and (not args.get("appId") or run.app_id in args["appId"])
            and (not args.get("functionId") or run.function.local_id in args["functionId"])
            and (start is None or (at is not None and at >= start))
            and (end is None or (at is not None and at <= end))
        )

    runs = [run for run in state.runs.values() if keep(run) and not args.get("isDeferred")]
    return sorted(runs, key=lambda run: (getattr(run, moment) or 0.0, run.id), reverse=order == "DESC")


def _configuration(function: Function) -> Object:
    flow, sent = function.flow, function.config
    limits: list[Object] | None = None
    if sent.get("concurrency") is None:
        limits = [{"limit": {"isPlanLimit": True, "value": -1}, "scope": "ACCOUNT"}]
    elif flow.concurrency:
        scopes = {"fn": "FUNCTION", "env": "ENVIRONMENT", "account": "ACCOUNT"}
        limits = [
            _present(key=c.key, limit={"isPlanLimit": False, "value": c.limit}, scope=scopes[c.scope])
            for c in sorted(flow.concurrency, key=lambda c: c.limit)
        ]
    retries: Object = {"isDefault": function.max_attempts - 1 == DEFAULT_RETRIES}
    if function.max_attempts > 1:
        retries["value"] = function.max_attempts - 1
    singleton = sent.get("singleton")
    rate_limit = sent.get("rateLimit")
    if rate_limit is None and flow.idempotency:
        rate_limit = {"key": flow.idempotency, "limit": 1, "period": "24h0m0s"}
    return _present(
        cancellations=[
            _present(condition=c.get("if"), event=c.get("event"), timeout=c.get("timeout"))
            for c in sent.get("cancel") or []
        ],
        concurrency=limits,
        debounce=sent.get("debounce"),
        eventsBatch=sent.get("batchEvents"),
        priority=flow.priority,
        rateLimit=rate_limit,
        retries=retries,
        singleton={**singleton, "mode": str(singleton.get("mode", "skip")).upper()} if singleton else None,
        throttle=sent.get("throttle"),
    )


def _step_span(run: Run, step: Step, include_output: bool) -> Object:
    shown = len(step.attempts) > 1 or any(attempt.error for attempt in step.attempts)
    return _present(
        children=[_attempt_span(run, a, include_output, step) for a in step.attempts] if shown else [],
        durationMs=_duration(step.started_at, step.ended_at),
        endedAt=iso(step.ended_at),
        id=span_id(run.id, step.id),
        name=step.name,
        output=_as_object(step.error or step.output) if include_output else None,
        queuedAt=iso(step.queued_at),
        startedAt=iso(step.started_at),
        status=_span_status(step),
        stepId=step.id,
        stepOp=str(step.op),
    )


def _body_span(run: Run, include_output: bool) -> Object:
    first, last = run.attempts[0], run.attempts[-1]
    shown = any(attempt.error for attempt in run.attempts)
    return _present(
        children=[_attempt_span(run, a, include_output) for a in run.attempts] if shown else [],
        durationMs=_duration(first.started_at, last.ended_at),
        endedAt=iso(last.ended_at),
        id=span_id(run.id, "end"),
        name="Finalization",
        output=_as_object(last.error or last.output) if include_output else None,
        queuedAt=iso(first.queued_at),
        startedAt=iso(first.started_at),
        status=_attempt_status(last),
    )


def _attempt_span(run: Run, attempt: Attempt, include_output: bool, step: Step | None = None) -> Object:
    return _present(
        durationMs=_duration(attempt.started_at, attempt.ended_at),
        endedAt=iso(attempt.ended_at),
        id=span_id(run.id, step.id if step else "end", attempt.number),
        name=f"Attempt {attempt.number}",
        output=_as_object(attempt.error or attempt.output) if include_output else None,
        queuedAt=iso(attempt.queued_at),
        startedAt=iso(attempt.started_at),
        status=_attempt_status(attempt),
        stepId=step.id if step else None,
        stepOp=str(step.op) if step else None,
    )


def _attempt_status(attempt: Attempt) -> str:
    if attempt.error:
        return "FAILED"
    if attempt.ended_at is not None:
        return "COMPLETED"
    return "RUNNING" if attempt.started_at is not None else "WAITING"


def _span_status(step: Step) -> str:
    """As the official API spells it: queued reads waiting, a wait that timed out reads completed."""
    if step.status is StepStatus.TIMED_OUT:
        return "FAILED" if step.error else "COMPLETED"
    if step.status is StepStatus.QUEUED:
        return "FAILED" if step.error else "WAITING"
    return str(step.status)


def _run_status(run: Run) -> str:
    return "QUEUED" if run.status is RunStatus.SCHEDULED else run.status.upper()


def _as_object(value: Json) -> Object | None:
    """Answers hold objects only: anything else is put below `data`."""
    if value is None or isinstance(value, dict):
        return value
    return {"data": value}


def _duration(start: float | None, end: float | None) -> str | None:
    if start is None or end is None:
        return None
    return str(max(0, round((end - start) * 1000)))


def _time_field(name: str | None) -> str:
    names = {"QUEUEDAT": "queued_at", "STARTEDAT": "started_at", "ENDEDAT": "ended_at"}
    key = (name or "queuedAt").strip().upper().replace("_", "")
    if key not in names:
        raise ApiError(400, "invalid_field_format", "timeField is invalid")
    return names[key]


def _status_filter(status: str) -> str:
    name = status.strip().upper()
    if name not in ("QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"):
        raise ApiError(400, "invalid_field_format", "Status is invalid")
    return name


def _timestamp(args: Object, name: str) -> float | None:
    if not args.get(name):
        return None
    try:
        return datetime.fromisoformat(args[name]).timestamp()
    except (TypeError, ValueError) as error:
        raise ApiError(400, "invalid_field_format", f"{name} must be a valid timestamp") from error


def _present(**fields: Json) -> Object:
    """Drop what protobuf's JSON leaves out: null, false, 0, the empty string and the empty list."""
    return {name: value for name, value in sorted(fields.items()) if value or value == {}}
