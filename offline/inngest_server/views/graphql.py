"""`POST /v0/gql`: the part of the official dev server's GraphQL API that tools ask for.

Events and the runs they triggered, runs with their trace, step outputs, apps and functions; read only. A query for
a field that is not in `SCHEMA` is refused with graphql-core's own message. Names and nullability are those of the
official server's schema (`pkg/coreapi/*.graphql` in its repository).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, execute, parse, validate
from graphql.pyutils import is_awaitable
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.api_v2.answers import find_run, select_runs, span_id
from offline.inngest_server.core.state import (
    App,
    Attempt,
    Event,
    Function,
    Json,
    Run,
    RunStatus,
    State,
    Step,
    StepOp,
    StepStatus,
    iso,
    stable_uuid,
)

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

Object = dict[str, Json]
Info = GraphQLResolveInfo[Any]

SCHEMA = build_schema("""
scalar Time
scalar Bytes
scalar ULID
scalar UUID

type Query {
  apps: [App!]!
  app(id: UUID!): App
  functions: [Function!]
  functionBySlug(query: FunctionQuery!): Function
  event(query: EventQuery!): Event
  events(query: EventsQuery!): [Event!]
  runs(first: Int! = 100, after: String, orderBy: [RunsOrderBy!], filter: RunsFilter): RunsConnection!
  run(runID: String!): Run
  runTrace(runID: String!): Span!
  runTraceSpanOutputByID(outputID: String!): SpanOutput!
  runTrigger(runID: String!): RunTrigger!
}
input FunctionQuery { workspaceId: ID! = "local", functionSlug: String! }
input EventQuery { workspaceId: ID! = "local", eventId: ID! }
input EventsQuery { workspaceId: ID! = "local", lastEventId: ID }
input RunsOrderBy { field: RunTimeField!, direction: Direction! }
input RunsFilter {
  from: Time, until: Time, timeField: RunTimeField = QUEUED_AT, status: [RunStatus!], functionIDs: [UUID!]
}
enum RunTimeField { QUEUED_AT STARTED_AT ENDED_AT }
enum Direction { ASC DESC }
enum RunStatus { COMPLETED FAILED CANCELLED RUNNING QUEUED SKIPPED }
enum SpanStatus { FAILED QUEUED RUNNING COMPLETED WAITING CANCELLED SKIPPED }
enum StepOp { INVOKE RUN SLEEP WAIT_FOR_EVENT AI_GATEWAY WAIT_FOR_SIGNAL }
enum TriggerType { EVENT CRON }

type App {
  id: ID!
  externalID: String!
  name: String!
  sdkLanguage: String!
  sdkVersion: String!
  framework: String
  url: String
  checksum: String
  error: String
  functions: [Function!]!
  method: String!
  appVersion: String
  connected: Boolean!
  functionCount: Int!
}
type Function {
  id: String!
  name: String!
  slug: String!
  config: String!
  concurrency: Int!
  triggers: [Trigger!]
  url: String!
  appID: String!
  app: App!
}
type Trigger { type: TriggerType!, value: String!, condition: String }
type Event {
  id: ULID!
  externalID: String
  name: String
  createdAt: Time
  payload: String
  raw: String
  pendingRuns: Int
  totalRuns: Int
  functionRuns: [Run!]
}
type Run {
  id: ULID!
  appID: UUID!
  app: App!
  functionID: UUID!
  function: Function!
  traceID: String!
  queuedAt: Time!
  startedAt: Time
  endedAt: Time
  finishedAt: Time
  status: RunStatus!
  sourceID: String
  triggerIDs: [ULID!]!
  eventID: ID!
  event: Event
  events: [Event!]!
  eventName: String
  isBatch: Boolean!
  batchID: ULID
  cron: String
  cronSchedule: String
  output: Bytes
  trace(preview: Boolean): Span
}
type RunsConnection { edges: [RunEdge!]!, pageInfo: PageInfo!, totalCount(preview: Boolean): Int! }
type RunEdge { node: Run!, cursor: String! }
type PageInfo { hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String, endCursor: String }
type Span {
  appID: UUID!
  functionID: UUID!
  runID: ULID!
  spanID: String!
  traceID: String!
  name: String!
  status: SpanStatus!
  attempts: Int
  duration: Int
  outputID: String
  queuedAt: Time!
  startedAt: Time
  endedAt: Time
  childrenSpans: [Span!]!
  stepOp: StepOp
  stepID: String
  stepInfo: StepInfo
  isRoot: Boolean!
  parentSpanID: String
}
union StepInfo = InvokeStepInfo | SleepStepInfo | WaitForEventStepInfo | RunStepInfo
type InvokeStepInfo {
  triggeringEventID: ULID!
  functionID: String!
  timeout: Time!
  runID: ULID
  timedOut: Boolean
}
type SleepStepInfo { sleepUntil: Time! }
type WaitForEventStepInfo {
  eventName: String!
  expression: String
  timeout: Time!
  foundEventID: ULID
  timedOut: Boolean
}
type RunStepInfo { type: String }
type SpanOutput { input: Bytes, data: Bytes, error: StepError }
type StepError { message: String!, name: String, stack: String }
type RunTrigger {
  eventName: String
  IDs: [ULID!]!
  payloads: [Bytes!]!
  timestamp: Time!
  isBatch: Boolean!
  batchID: ULID
  cron: String
}
""")


def graphql_routes(server: DevServer) -> list[Route]:
    """Return the routes of the GraphQL endpoint, answering from `server`'s state."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await request.json()
            source, variables = body["query"], body.get("variables")
        except (ValueError, KeyError, TypeError, AttributeError):
            problem = {"message": "json body could not be decoded"}
            return JSONResponse({"errors": [problem], "data": None}, 400)
        answer, status = run_query(server.state, source, variables, body.get("operationName"))
        return JSONResponse(answer, status)

    return [Route("/v0/gql", endpoint, methods=["POST"])]


def run_query(
    state: State, source: str, variables: Object | None = None, operation: str | None = None
) -> tuple[Object, int]:
    """Answer one query; return the body and the HTTP status (422 when the query itself is wrong)."""
    try:
        document = parse(source)
    except GraphQLError as error:
        return {"errors": [error.formatted], "data": None}, 422
    errors = validate(SCHEMA, document)
    if errors:
        return {"errors": [error.formatted for error in errors], "data": None}, 422
    result = execute(SCHEMA, document, _Query(state), variable_values=variables, operation_name=operation)
    if is_awaitable(result):
        raise TypeError("resolvers of the stand-in are synchronous")
    return dict(result.formatted), 200  # type: ignore[union-attr]


class _Query:
    """The root fields. graphql-core calls each method that a query names; values are plain dictionaries."""

    def __init__(self, state: State) -> None:
        self.state = state

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
        wanted = dict(filter or {})
        if orderBy:
            wanted |= {"timeField": orderBy[0]["field"], "order": orderBy[0]["direction"]}
        ids = wanted.pop("functionIDs", None)
        found = [run for run in select_runs(self.state, wanted) if not ids or run.function.uuid in ids]
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
        return _root_span(find_run(self.state, runID))

    def runTrigger(self, _info: Info, runID: str) -> Object:  # noqa: N802, N803
        run = find_run(self.state, runID)
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
            run_id, step_id, number = json.loads(base64.b64decode(outputID, validate=True))
        except (binascii.Error, ValueError, TypeError) as problem:
            raise GraphQLError("outputID is invalid") from problem
        run = find_run(self.state, run_id)
        source: Run | Step | Attempt = run
        if step_id is not None:
            source = run.steps[step_id]
        if number is not None:
            attempts = run.attempts if step_id is None else run.steps[step_id].attempts
            source = next(attempt for attempt in attempts if attempt.number == number)
        error = source.error if not isinstance(source, Run) else None
        if isinstance(source, Run) and source.status is RunStatus.FAILED:
            error = source.output
        if error:
            shown = {"message": error.get("message", ""), "name": error.get("name"), "stack": error.get("stack")}
            return {"input": None, "data": None, "error": shown}
        return {"input": None, "data": json.dumps(source.output), "error": None}

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
            "triggers": [
                {"type": "CRON", "value": trigger.cron, "condition": None}
                if trigger.cron
                else {"type": "EVENT", "value": trigger.event, "condition": trigger.expression}
                for trigger in function.triggers
            ],
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
            "status": _run_status(run),
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
            "trace": lambda _info, **_args: _root_span(run),
        }


def _run_status(run: Run) -> str:
    return "QUEUED" if run.status is RunStatus.SCHEDULED else run.status.upper()


def _span(run: Run, source: Run | Step | Attempt, name: str, status: str, path: tuple[Json, Json]) -> Object:
    parts = [run.id, *(part for part in path if part is not None)]
    took = None
    if source.started_at is not None and source.ended_at is not None:
        took = round((source.ended_at - source.started_at) * 1000)
    output_id = base64.b64encode(json.dumps([run.id, *path]).encode()).decode()
    return {
        "appID": stable_uuid(run.app_id),
        "functionID": run.function.uuid,
        "runID": run.id,
        "spanID": span_id(*parts),
        "traceID": span_id(run.id, "trace"),
        "name": name,
        "status": status,
        "attempts": None,
        "duration": took,
        "outputID": output_id if source.ended_at is not None else None,
        "queuedAt": iso(source.queued_at),
        "startedAt": iso(source.started_at),
        "endedAt": iso(source.ended_at),
        "childrenSpans": [],
        "isRoot": len(parts) == 1,
        "parentSpanID": None if len(parts) == 1 else span_id(*parts[:-1]),
    }


def _root_span(run: Run) -> Object:
    children = [_step_span(run, step) for step in run.steps.values()]
    if run.attempts:
        last = run.attempts[-1]
        end = _span(run, last, "Finalization", _attempt_status(last), (None, last.number))
        failed = any(attempt.error for attempt in run.attempts)
        children.append(end | {"childrenSpans": _attempt_spans(run, None, run.attempts) if failed else []})
    return _span(run, run, "Run", _run_status(run), (None, None)) | {"childrenSpans": children}


def _step_span(run: Run, step: Step) -> Object:
    timed_out = step.status is StepStatus.TIMED_OUT
    status = str(step.status)
    if timed_out:
        status = "FAILED" if step.error else "COMPLETED"
    shown = len(step.attempts) > 1 or any(attempt.error for attempt in step.attempts)
    return _span(run, step, step.name, status, (step.id, None)) | {
        "attempts": max(0, len(step.attempts) - 1),
        "stepOp": str(step.op),
        "stepID": step.id,
        "stepInfo": _step_info(step, timed_out),
        "childrenSpans": _attempt_spans(run, step.id, step.attempts) if shown else [],
    }


def _attempt_spans(run: Run, step_id: str | None, attempts: list[Attempt]) -> list[Object]:
    return [
        _span(run, attempt, f"Attempt {attempt.number}", _attempt_status(attempt), (step_id, attempt.number))
        for attempt in attempts
    ]


def _attempt_status(attempt: Attempt) -> str:
    if attempt.error:
        return "FAILED"
    if attempt.ended_at is not None:
        return "COMPLETED"
    return "RUNNING" if attempt.started_at is not None else "QUEUED"


def _step_info(step: Step, timed_out: bool) -> Object:
    opts, ended = step.opts, step.ended_at is not None
    if step.op is StepOp.SLEEP:
        return {"__typename": "SleepStepInfo", "sleepUntil": iso(opts["until"])}
    if step.op is StepOp.WAIT_FOR_EVENT:
        return {
            "__typename": "WaitForEventStepInfo",
            "eventName": opts["event"],
            "expression": opts.get("if"),
            "timeout": iso(opts["timeout_at"]),
            "foundEventID": opts.get("matched_event_id"),
            "timedOut": timed_out if ended else None,
        }
    if step.op is StepOp.INVOKE:
        return {
            "__typename": "InvokeStepInfo",
            "triggeringEventID": opts["triggering_event_id"],
            "functionID": opts["function_id"],
            "timeout": iso(opts["timeout_at"]),
            "runID": opts.get("run_id"),
            "timedOut": timed_out if ended else None,
        }
    return {"__typename": "RunStepInfo", "type": None}
