"""What the REST API v2 and the MCP tools that hand it on can do: one function per operation, from arguments to body.

Arguments and answers are those of the official server (`proto/api/v2/service.proto` in its repository). A refusal is
an `ApiError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from offline.inngest_server.core.rerun import AmbiguousStepError
from offline.inngest_server.core.state import INVOKED, Json, Run, RunStatus

from .answers import (
    MAX_EVENT_RUNS_PAGE,
    ApiError,
    Object,
    answer,
    app_view,
    find_app,
    find_function,
    find_run,
    function_view,
    page_of,
    run_view,
    select_runs,
    trace_view,
)

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

Operation = Callable[["DevServer", Object], Object]


def get_apps(server: DevServer, args: Object) -> Object:
    """List the synced apps; none is ever archived here."""
    apps = [] if args.get("archived") else list(server.state.apps.values())
    page, described = page_of(apps, args.get("cursor"), args.get("limit"))
    return answered(server, [app_view(server.state, app) for app in page], described)


def get_app(server: DevServer, args: Object) -> Object:
    """Show one app."""
    return answered(server, app_view(server.state, find_app(server.state, args["appId"])))


def list_functions(server: DevServer, args: Object) -> Object:
    """List one app's functions."""
    functions = list(server.state.active_functions(args["appId"]))
    page, described = page_of(functions, args.get("cursor"), args.get("limit"))
    return answered(server, [function_view(function) for function in page], described)


def get_function(server: DevServer, args: Object) -> Object:
    """Show one function."""
    return answered(server, function_view(find_function(server.state, args["appId"], args["functionId"])))


def get_run(server: DevServer, args: Object) -> Object:
    """Summarize one run."""
    run = find_run(server.state, args["runId"])
    return answered(server, run_view(run, include_output=args.get("includeOutput", False)))


def get_run_trace(server: DevServer, args: Object) -> Object:
    """Show one run's steps and their attempts."""
    run = find_run(server.state, args["runId"])
    return answered(server, trace_view(run, include_output=args.get("includeOutput", False)))


def get_event_runs(server: DevServer, args: Object) -> Object:
    """List the runs an event started, newest first."""
    event_id = args["eventId"]
    runs = [run for run in select_runs(server.state, {}) if any(e.internal_id == event_id for e in run.events)]
    return _runs_page(server, runs, args, MAX_EVENT_RUNS_PAGE)


def list_runs(server: DevServer, args: Object) -> Object:
    """List runs, newest first."""
    return _ranged(_runs_page(server, select_runs(server.state, args), args), args)


def list_function_runs(server: DevServer, args: Object) -> Object:
    """List one function's runs, newest first."""
    of_function = args | {"appId": [args["appId"]], "functionId": [args["functionId"]]}
    return _ranged(_runs_page(server, select_runs(server.state, of_function), args), args)


def rerun(server: DevServer, args: Object) -> Object:
    """Run a run's function again with the same event; from one step on, when `fromStep` names it."""
    run = find_run(server.state, args["runId"])
    step = args.get("fromStep") or {}
    if step.get("input"):
        raise ApiError(501, "not_implemented", "The stand-in cannot replace a step's input; the official server can")
    if args.get("fromStep") is not None and not step.get("stepId"):
        raise ApiError(400, "missing_field", "Step ID is required")
    try:
        return answered(server, {"runId": server.rerun(run.id, step.get("stepId"))})
    except LookupError as error:
        raise ApiError(400, "invalid_request", "Step not found in original run") from error
    except AmbiguousStepError as error:
        raise ApiError(400, "invalid_request", "Step name matches multiple steps in original run") from error
    except ValueError as error:
        raise ApiError(500, "internal_error", "Unable to rerun run") from error


def cancel_run(server: DevServer, args: Object) -> Object:
    """Cancel a run that has not ended."""
    run = find_run(server.state, args["runId"])
    if run.status is RunStatus.CANCELLED:
        raise ApiError(409, "run_already_cancelled", "Run is already cancelled")
    if run.status.ended:
        raise ApiError(409, "run_already_ended", "Cannot cancel an ended run")
    server.cancel_run(run.id)
    return answered(server, {"runId": run.id})


def invoke_function(server: DevServer, args: Object) -> Object:
    """Start a function directly, without an event of its triggers."""
    function = find_function(server.state, args["appId"], args["functionId"])
    key = args.get("idempotencyKey")
    for run in server.state.runs.values() if key else ():
        if run.function.id == function.id and run.event.name == INVOKED and run.event.id == key:
            raise ApiError(409, "", "", answered(server, {"runId": run.id}))
    try:
        run_id = server.invoke(None, function.id, args.get("data") or {}, event_id=key)
    except ValueError as error:
        raise ApiError(422, "function_skipped", f"Function invocation was skipped: {error}") from error
    return answered(server, {"runId": run_id})


def health(server: DevServer, _args: Object) -> Object:
    """Say that the server is up."""
    return answered(server, {"status": "ok"})


def _runs_page(server: DevServer, runs: list[Run], args: Object, most: int = 100) -> Object:
    page, described = page_of(runs, args.get("cursor"), args.get("limit"), most)
    shown = [run_view(run, include_output=args.get("includeOutput", False)) for run in page]
    return answered(server, shown, described)


def _ranged(body: Object, args: Object) -> Object:
    if args.get("from") and args.get("until"):
        body["metadata"]["timeRange"] = {"from": args["from"], "until": args["until"]}
    return body


def answered(server: DevServer, data: Json, page: Object | None = None) -> Object:
    """`data` as every answer carries it."""
    return answer(server.engine.clock.now(), data, page)
