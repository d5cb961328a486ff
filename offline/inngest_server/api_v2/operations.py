"""What the REST API v2 and the MCP tools that hand it on can do: one function per operation, from arguments to body.

Arguments and answers are those of the official server (`proto/api/v2/service.proto` in its repository). A refusal is
an `ApiError`, in the official server's words.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from offline.inngest_server.core.rerun import AmbiguousStepError, StepNotFoundError
from offline.inngest_server.core.state import INVOKED, App, Function, Json, Run, RunStatus
from offline.inngest_server.service import InvalidEventError, RunFilter, Service

from .answers import (
    MAX_EVENT_RUNS_PAGE,
    MAX_PAGE,
    ApiError,
    Object,
    answer,
    app_view,
    function_view,
    page_of,
    run_view,
    trace_view,
)

Operation = Callable[[Service, Object], Object]

ULID_LENGTH = 26


def get_apps(service: Service, args: Object) -> Object:
    """List the synced apps; none is ever archived here."""
    apps = [] if args.get("archived") else service.apps()
    page, described = page_of(apps, args.get("cursor"), args.get("limit"))
    return _answer(service, [app_view(service.state, app) for app in page], described)


def get_app(service: Service, args: Object) -> Object:
    """Show one app."""
    return _answer(service, app_view(service.state, _app(service, args["appId"])))


def list_functions(service: Service, args: Object) -> Object:
    """List one app's functions."""
    page, described = page_of(service.functions(args["appId"]), args.get("cursor"), args.get("limit"))
    return _answer(service, [function_view(function) for function in page], described)


def get_function(service: Service, args: Object) -> Object:
    """Show one function."""
    return _answer(service, function_view(_function(service, args)))


def get_run(service: Service, args: Object) -> Object:
    """Summarize one run."""
    run = _run(service, args["runId"])
    return _answer(service, run_view(run, include_output=args.get("includeOutput", False)))


def get_run_trace(service: Service, args: Object) -> Object:
    """Show one run's steps and their attempts."""
    run = _run(service, args["runId"])
    return _answer(service, trace_view(run, include_output=args.get("includeOutput", False)))


def get_event_runs(service: Service, args: Object) -> Object:
    """List the runs an event started, newest first."""
    event_id = args["eventId"]
    runs = [run for run in service.runs(RunFilter()) if any(e.internal_id == event_id for e in run.events)]
    return _runs_page(service, runs, args, MAX_EVENT_RUNS_PAGE)


def list_runs(service: Service, args: Object) -> Object:
    """List runs, newest first."""
    wanted = _run_filter(args)
    runs = [] if args.get("isDeferred") else service.runs(wanted)
    body = _runs_page(service, runs, args, MAX_PAGE)
    if args.get("from") and args.get("until"):
        body["metadata"]["timeRange"] = {"from": args["from"], "until": args["until"]}
    return body


def list_function_runs(service: Service, args: Object) -> Object:
    """List one function's runs, newest first."""
    return list_runs(service, args | {"appId": [args["appId"]], "functionId": [args["functionId"]]})


def rerun(service: Service, args: Object) -> Object:
    """Run a run's function again with the same event; from one step on, when `fromStep` names it."""
    run = _run(service, args["runId"])
    step = args.get("fromStep") or {}
    if step.get("input"):
        raise ApiError(501, "not_implemented", "The stand-in cannot replace a step's input; the official server can")
    if args.get("fromStep") is not None and not step.get("stepId"):
        raise ApiError(400, "missing_field", "Step ID is required")
    try:
        return _answer(service, {"runId": service.rerun(run.id, step.get("stepId"))})
    except StepNotFoundError as error:
        raise ApiError(400, "invalid_request", "Step not found in original run") from error
    except AmbiguousStepError as error:
        raise ApiError(400, "invalid_request", "Step name matches multiple steps in original run") from error
    except ValueError as error:
        raise ApiError(500, "internal_error", "Unable to rerun run") from error


def cancel_run(service: Service, args: Object) -> Object:
    """Cancel a run that has not ended."""
    run = _run(service, args["runId"])
    if run.status is RunStatus.CANCELLED:
        raise ApiError(409, "run_already_cancelled", "Run is already cancelled")
    if run.status.ended:
        raise ApiError(409, "run_already_ended", "Cannot cancel an ended run")
    service.cancel_run(run.id)
    return _answer(service, {"runId": run.id})


def invoke_function(service: Service, args: Object) -> Object:
    """Start a function directly, without an event of its triggers."""
    function = _function(service, args)
    key = args.get("idempotencyKey")
    for run in service.runs() if key else []:
        if run.function.id == function.id and run.event.name == INVOKED and run.event.id == key:
            raise ApiError(409, "", "", _answer(service, {"runId": run.id}))
    try:
        run_id = service.invoke(None, function.id, args.get("data") or {}, event_id=key)
    except ValueError as error:
        raise ApiError(422, "function_skipped", f"Function invocation was skipped: {error}") from error
    return _answer(service, {"runId": run_id})


def send_event(service: Service, args: Object) -> Object:
    """Take one event in."""
    try:
        (event_id,) = service.send_events([args])
    except InvalidEventError as error:
        raise ApiError(400, "invalid_request", str(error)) from error
    return _answer(service, {"eventId": event_id})


def health(service: Service, _args: Object) -> Object:
    """Say that the server is up."""
    return _answer(service, {"status": "ok"})


def _answer(service: Service, data: Json, page: Object | None = None) -> Object:
    return answer(service.clock.now(), data, page)


def _runs_page(service: Service, runs: list[Run], args: Object, most: int) -> Object:
    page, described = page_of(runs, args.get("cursor"), args.get("limit"), most)
    shown = [run_view(run, include_output=args.get("includeOutput", False)) for run in page]
    return _answer(service, shown, described)


def _run(service: Service, run_id: str) -> Run:
    if len(run_id) != ULID_LENGTH or not run_id.isalnum():
        raise ApiError(400, "invalid_field_format", "Run ID must be a valid ULID")
    if run_id not in service.state.runs:
        raise ApiError(404, "not_found", "Run not found")
    return service.state.runs[run_id]


def _app(service: Service, app_id: str) -> App:
    if app_id not in service.state.apps:
        raise ApiError(404, "not_found", "App not found")
    return service.state.apps[app_id]


def _function(service: Service, args: Object) -> Function:
    """The app's function, by the id its author wrote, its slug or its UUID."""
    function = service.state.find_function(args["functionId"], args["appId"])
    if function is None or function.app_id != args["appId"]:
        raise ApiError(404, "not_found", "Function not found")
    return function


def _run_filter(args: Object) -> RunFilter:
    if args.get("functionId") and not args.get("appId"):
        raise ApiError(400, "invalid_field_format", "appId is required when filtering by functionId")
    wanted = RunFilter(
        moment=_moment(args.get("timeField")),
        statuses={_status(status) for status in args.get("status") or []},
        since=_timestamp(args, "from"),
        until=_timestamp(args, "until"),
        app_ids=args.get("appId") or (),
        function_ids=args.get("functionId") or (),
        oldest_first=_is_ascending(args.get("order")),
    )
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise ApiError(400, "invalid_field_format", "from must be before until")
    return wanted


def _moment(name: str | None) -> Literal["queued_at", "started_at", "ended_at"]:
    key = (name or "queuedAt").strip().upper().replace("_", "")
    if key == "QUEUEDAT":
        return "queued_at"
    if key == "STARTEDAT":
        return "started_at"
    if key == "ENDEDAT":
        return "ended_at"
    raise ApiError(400, "invalid_field_format", "timeField is invalid")


def _status(status: str) -> str:
    name = status.strip().upper()
    if name not in ("QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"):
        raise ApiError(400, "invalid_field_format", "Status is invalid")
    return name


def _is_ascending(order: str | None) -> bool:
    direction = str(order or "DESC").strip().upper()
    if direction not in ("ASC", "DESC"):
        raise ApiError(400, "invalid_field_format", "order is invalid")
    return direction == "ASC"


def _timestamp(args: Object, name: str) -> float | None:
    if not args.get(name):
        return None
    try:
        return datetime.fromisoformat(args[name]).timestamp()
    except (TypeError, ValueError) as error:
        raise ApiError(400, "invalid_field_format", f"{name} must be a valid timestamp") from error
