"""The answers of the official server's REST API v2, which its MCP tools hand on word for word.

Field names, their order and what is left out follow protobuf's JSON
(https://protobuf.dev/programming-guides/json/): names are in camelCase, a field is absent instead of false, 0 or empty,
and 64-bit integers are strings.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Protocol, TypeVar

from offline.inngest_server.core.state import DEFAULT_RETRIES, App, Function, Json, Run, State, Trigger, iso
from offline.inngest_server.core.trace import Span, duration_ms, trace_of

PAGE = 20
"""Items per page when the caller names no limit."""
MAX_PAGE = 100
MAX_EVENT_RUNS_PAGE = 40

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
        """Refuse in the words of `message`, unless the refusal has a `body` of its own."""
        super().__init__(message)
        self.status = status
        self.code = code
        self._body = body

    def body(self) -> Object:
        """The JSON body of the refusal."""
        return self._body or {"errors": [{"code": self.code, "message": str(self)}]}


def answer(now: float, data: Json, page: Object | None = None) -> Object:
    """Wrap `data` as every v2 answer is wrapped; an empty list is left out. `now` is in seconds since the epoch."""
    body: Object = {"data": data} if data != [] else {}
    body["metadata"] = {"fetchedAt": iso(now)}
    if page is not None:
        body["page"] = page
    return body


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
    """One function with its triggers and its flow control, in which periods are as the SDK sent them."""
    return {
        "app": {"id": function.app_id},
        "configuration": _configuration(function),
        "id": function.local_id,
        "name": function.name,
        "slug": function.local_id,
        "triggers": [_trigger(trigger) for trigger in function.triggers],
    }


def run_view(run: Run, *, include_output: bool) -> Object:
    """One run's summary. `output` is the returned value, or the error of a failed run."""
    return _present(
        app={"id": run.app_id},
        durationMs=_milliseconds(run.started_at or run.queued_at, run.ended_at),
        endedAt=iso(run.ended_at),
        function={"id": run.function.local_id, "name": run.function.name},
        id=run.id,
        output=_as_object(run.output) if include_output else None,
        queuedAt=iso(run.queued_at),
        startedAt=iso(run.started_at or run.queued_at),
        status=run.status.v2_name,
        trigger=_present(
            eventIds=[run.event.internal_id],
            isBatch=run.batch_id is not None,
            batchId=run.batch_id,
            cronSchedule=run.cron,
        ),
    )


def trace_view(run: Run, *, include_output: bool) -> Object:
    """The run's tree of spans."""
    trace = trace_of(run)
    root = _span_view(trace, include_output)
    if trace.status == "RUNNING" and any(child.status == "QUEUED" for child in trace.children):
        root["status"] = "WAITING"
    if include_output:
        events = [{"data": event.data, "id": event.id, "name": event.name} for event in run.events]
        root["input"] = _as_object(events)
    return {"rootSpan": _present(**root), "runId": run.id}


def page_of(
    items: Sequence[Item], cursor: str | None, limit: int | None, most: int = MAX_PAGE
) -> tuple[Sequence[Item], Object]:
    """Cut one page out of `items` and describe it. Raises `ApiError` 400 for a bad limit or cursor."""
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


def _trigger(trigger: Trigger) -> Object:
    if trigger.cron:
        return _present(type="CRON", value=trigger.cron)
    return _present(**{"if": trigger.expression}, type="EVENT", value=trigger.event)


def _concurrency(function: Function) -> list[Object]:
    if function.config.get("concurrency") is None:
        return [{"limit": {"isPlanLimit": True, "value": -1}, "scope": "ACCOUNT"}]
    scopes = {"fn": "FUNCTION", "env": "ENVIRONMENT", "account": "ACCOUNT"}
    return [
        _present(key=c.key, limit={"isPlanLimit": False, "value": c.limit}, scope=scopes[c.scope])
        for c in sorted(function.flow.concurrency, key=lambda c: c.limit)
    ]


def _configuration(function: Function) -> Object:
    flow, sent = function.flow, function.config
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
        concurrency=_concurrency(function),
        debounce=sent.get("debounce"),
        eventsBatch=sent.get("batchEvents"),
        priority=flow.priority,
        rateLimit=rate_limit,
        retries=retries,
        singleton={**singleton, "mode": str(singleton.get("mode", "skip")).upper()} if singleton else None,
        throttle=sent.get("throttle"),
    )


def _span_view(span: Span, include_output: bool) -> Object:
    return _present(
        children=[_span_view(child, include_output) for child in span.children],
        durationMs=_milliseconds(span.started_at, span.ended_at),
        endedAt=iso(span.ended_at),
        id=span.id,
        name=span.name,
        output=_as_object(span.error or span.output) if include_output else None,
        queuedAt=iso(span.queued_at),
        startedAt=iso(span.started_at),
        status=_span_status(span),
        stepId=span.step.id if span.step else None,
        stepOp=str(span.step.op) if span.step else None,
    )


def _span_status(span: Span) -> str:
    """As this API spells it: what is queued reads waiting, or failed when an attempt of it has failed."""
    if span.status != "QUEUED":
        return span.status
    return "FAILED" if span.error else "WAITING"


def _as_object(value: Json) -> Object | None:
    """The value as an object, which is all that answers hold: anything else is put below `data`."""
    if value is None or isinstance(value, dict):
        return value
    return {"data": value}


def _milliseconds(start: float | None, end: float | None) -> str | None:
    took = duration_ms(start, end)
    return None if took is None else str(took)


def _present(**fields: Json) -> Object:
    """The fields by name, without what protobuf's JSON leaves out: null, false, 0, empty text and empty lists."""
    return {name: value for name, value in sorted(fields.items()) if value or value == {}}
