"""`POST /v0/gql`: the part of the official dev server's GraphQL API that tools ask for (`schema.graphql`).

It shows events and the runs they triggered, runs with their trace, step outputs, apps and functions, and changes
nothing. A query for a field that is not in the schema is refused with graphql-core's own message.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, execute_sync, parse, validate
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.core.state import (
    App,
    Event,
    Function,
    Json,
    Run,
    Step,
    StepOp,
    StepStatus,
    Trigger,
    iso,
    stable_uuid,
)
from offline.inngest_server.core.trace import Span, duration_ms, span_id, trace_of
from offline.inngest_server.service import RunFilter, Service

Object = dict[str, Json]
Info = GraphQLResolveInfo[Any]

SCHEMA = build_schema(Path(__file__).with_name("schema.graphql").read_text())


def routes(service: Service) -> list[Route]:
    """The routes of one server."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await request.json()
            source, variables = body["query"], body.get("variables")
        except (ValueError, KeyError, TypeError, AttributeError):
            problem = {"message": "json body could not be decoded"}
            return JSONResponse({"errors": [problem], "data": None}, 400)
        answer, status = _run_query(service, source, variables, body.get("operationName"))
        return JSONResponse(answer, status)

    return [Route("/v0/gql", endpoint, methods=["POST"])]


def _run_query(service: Service, source: str, variables: Object | None, operation: str | None) -> tuple[Object, int]:
    """Answer one query; return the body and the HTTP status, which is 422 when the query itself is wrong."""
    try:
        document = parse(source)
    except GraphQLError as error:
        return {"errors": [error.formatted], "data": None}, 422
    errors = validate(SCHEMA, document)
    if errors:
        return {"errors": [error.formatted for error in errors], "data": None}, 422
    result = execute_sync(SCHEMA, document, _Query(service), variable_values=variables, operation_name=operation)
    return dict(result.formatted), 200


class _Query:
    """The root fields. graphql-core calls the method of each field that a query names, and reads dictionaries."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.state = service.state

    def apps(self, _info: Info) -> list[Object]:
        return [self._app(app) for app in self.state.apps.values()]

    def app(self, _info: Info, id: str) -> Object | None:  # noqa: A002
        return next((self._app(app) for app in self.state.apps.values() if id in (app.uuid, app.id)), None)

    def functions(self, _info: Info) -> list[Object]:
        return [self._function(function) for function in self.state.active_functions()]

    def functionBySlug(self, _info: Info, query: Object) -> Object | None:  # noqa: N802
        function = self.state.find_function(query["functionSlug"])
        return self._function(function) if function else None

    def event(self, _info: Info, query: Object) -> Object | None:
        event = self.state.events.get(query["eventId"])
        return self._event(event) if event else None

    def events(self, _info: Info, query: Object) -> list[Object]:
        newest_first = reversed(self.state.events.values())
        last = query.get("lastEventId")
        return [self._event(event) for event in newest_first if last is None or event.internal_id < last]

    def runs(
        self,
        _info: Info,
        first: int,
        after: str | None = None,
        orderBy: list[Object] | None = None,  # noqa: N803
        filter: Object | None = None,  # noqa: A002
    ) -> Object:
        found = self.service.runs(_run_filter(filter or {}, orderBy[0] if orderBy else {}))
        ids = (filter or {}).get("functionIDs")
        if ids:
            found = [run for run in found if run.function.uuid in ids]
        start = next((i + 1 for i, run in enumerate(found) if run.id == after), 0)
        page = found[start : start + first]
        return {
            "edges": [{"node": self._run(run), "cursor": run.id} for run in page],
            "pageInfo": {
                "hasNextPage": start + first < len(found),
                "hasPreviousPage": start > 0,
                "startCursor": page[0].id if page else None,
                "endCursor": page[-1].id if page else None,
            },
            "totalCount": len(found),
        }

    def run(self, _info: Info, runID: str) -> Object | None:  # noqa: N803
        run = self.state.runs.get(runID)
        return self._run(run) if run else None

    def runTrace(self, _info: Info, runID: str) -> Object:  # noqa: N802, N803
        return _trace(self.service.run(runID))

    def runTrigger(self, _info: Info, runID: str) -> Object:  # noqa: N802, N803
        run = self.service.run(runID)
        return {
            "eventName": run.event.name,
            "IDs": [event.internal_id for event in run.events],
            "payloads": [json.dumps(event.payload()) for event in run.events],
            "timestamp": iso(run.event.ts / 1000),
            "isBatch": run.batch_id is not None,
            "batchID": run.batch_id,
            "cron": run.cron,
        }

    def runTraceSpanOutputByID(self, _info: Info, outputID: str) -> Object:  # noqa: N802, N803
        try:
            run_id, wanted = json.loads(base64.b64decode(outputID, validate=True))
        except (binascii.Error, ValueError, TypeError) as problem:
            raise GraphQLError("outputID is invalid") from problem
        span = _find(trace_of(self.service.run(run_id)), wanted)
        if span is None:
            raise GraphQLError("outputID is invalid")
        if span.error:
            error = {"message": span.error.get("message", "")}
            error |= {"name": span.error.get("name"), "stack": span.error.get("stack")}
            return {"input": None, "data": None, "error": error}
        return {"input": None, "data": json.dumps(span.output), "error": None}

    def _app(self, app: App) -> Object:
        return {
            "id": app.uuid,
            "externalID": app.id,
            "name": app.id,
            "sdkLanguage": app.sdk_language,
            "sdkVersion": app.sdk_version,
            "framework": app.framework,
            "url": app.url,
            "checksum": app.checksum,
            "error": app.error,
            "functions": lambda _info: [self._function(f) for f in self.state.active_functions(app.id)],
            "method": "CONNECT" if app.framework == "connect" else "SERVE",
            "appVersion": app.version,
            "connected": app.error is None,
            "functionCount": lambda _info: len(list(self.state.active_functions(app.id))),
        }

    def _function(self, function: Function) -> Object:
        return {
            "id": function.uuid,
            "name": function.name,
            "slug": function.id,
            "config": json.dumps(function.config),
            "concurrency": min((c.limit for c in function.flow.concurrency), default=0),
            "triggers": [_trigger(trigger) for trigger in function.triggers],
            "url": function.url,
            "appID": stable_uuid(function.app_id),
            "app": lambda _info: self._app(self.state.apps[function.app_id]),
        }

    def _event(self, event: Event) -> Object:
        runs = [self.state.runs[run_id] for run_id in event.run_ids]
        return {
            "id": event.internal_id,
            "externalID": event.id,
            "name": event.name,
            "createdAt": iso(event.received_at),
            "payload": json.dumps(event.data),
            "raw": json.dumps(event.payload()),
            "pendingRuns": sum(not run.status.ended for run in runs),
            "totalRuns": len(runs),
            "functionRuns": lambda _info: [self._run(run) for run in runs],
        }

    def _run(self, run: Run) -> Object:
        return {
            "id": run.id,
            "appID": stable_uuid(run.app_id),
            "app": lambda _info: self._app(self.state.apps[run.app_id]),
            "functionID": run.function.uuid,
            "function": lambda _info: self._function(run.function),
            "traceID": span_id(run.id, "trace"),
            "queuedAt": iso(run.queued_at),
            "startedAt": iso(run.started_at),
            "endedAt": iso(run.ended_at),
            "finishedAt": iso(run.ended_at),
            "status": run.status.v2_name,
            "sourceID": run.original_run_id,
            "triggerIDs": [event.internal_id for event in run.events],
            "eventID": run.event.internal_id,
            "event": lambda _info: self._event(run.event),
            "events": lambda _info: [self._event(event) for event in run.events],
            "eventName": run.event.name,
            "isBatch": run.batch_id is not None,
            "batchID": run.batch_id,
            "cron": run.cron,
            "cronSchedule": run.cron,
            "output": json.dumps(run.output) if run.status.ended else None,
            "trace": lambda _info, **_args: _trace(run),
        }


def _run_filter(wanted: Object, order: Object) -> RunFilter:
    field: Any = order.get("field") or wanted.get("timeField") or "QUEUED_AT"
    return RunFilter(
        statuses=wanted.get("status") or (),
        moment=field.lower(),
        since=_seconds(wanted.get("from")),
        until=_seconds(wanted.get("until")),
        oldest_first=order.get("direction") == "ASC",
    )


def _seconds(time: str | None) -> float | None:
    """Seconds since the epoch of a `Time`. Raises `GraphQLError`."""
    if not time:
        return None
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError) as error:
        raise GraphQLError(f"not a valid timestamp: {time}") from error


def _trigger(trigger: Trigger) -> Object:
    if trigger.cron:
        return {"type": "CRON", "value": trigger.cron, "condition": None}
    return {"type": "EVENT", "value": trigger.event, "condition": trigger.expression}


def _find(span: Span, wanted: str) -> Span | None:
    """The span with this id in the tree below `span`."""
    if span.id == wanted:
        return span
    return next((found for child in span.children if (found := _find(child, wanted)) is not None), None)


def _trace(run: Run) -> Object:
    return _span(run, trace_of(run), None)


def _span(run: Run, span: Span, parent: Span | None) -> Object:
    output_id = base64.b64encode(json.dumps([run.id, span.id]).encode()).decode()
    shown: Object = {
        "appID": stable_uuid(run.app_id),
        "functionID": run.function.uuid,
        "runID": run.id,
        "spanID": span.id,
        "traceID": span_id(run.id, "trace"),
        "name": span.name,
        "status": span.status,
        "attempts": None,
        "duration": duration_ms(span.started_at, span.ended_at),
        "outputID": output_id if span.ended_at is not None else None,
        "queuedAt": iso(span.queued_at),
        "startedAt": iso(span.started_at),
        "endedAt": iso(span.ended_at),
        "childrenSpans": [_span(run, child, span) for child in span.children],
        "isRoot": parent is None,
        "parentSpanID": parent.id if parent else None,
    }
    if span.step is not None and not span.is_attempt:
        shown["attempts"] = max(0, len(span.step.attempts) - 1)
        shown |= {"stepOp": str(span.step.op), "stepID": span.step.id, "stepInfo": _step_info(span.step)}
    return shown


def _step_info(step: Step) -> Object:
    opts = step.opts
    timed_out = step.status is StepStatus.TIMED_OUT if step.ended_at is not None else None
    if step.op is StepOp.SLEEP:
        return {"__typename": "SleepStepInfo", "sleepUntil": iso(opts["until"])}
    if step.op is StepOp.WAIT_FOR_EVENT:
        return {
            "__typename": "WaitForEventStepInfo",
            "eventName": opts["event"],
            "expression": opts.get("if"),
            "timeout": iso(opts["timeout_at"]),
            "foundEventID": opts.get("matched_event_id"),
            "timedOut": timed_out,
        }
    if step.op is StepOp.INVOKE:
        return {
            "__typename": "InvokeStepInfo",
            "triggeringEventID": opts["triggering_event_id"],
            "functionID": opts["function_id"],
            "timeout": iso(opts["timeout_at"]),
            "runID": opts.get("run_id"),
            "timedOut": timed_out,
        }
    return {"__typename": "RunStepInfo", "type": None}
