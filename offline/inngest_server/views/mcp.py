"""The MCP endpoint `/mcp`: the official dev server's twenty tools.

Names, parameters, answers and errors are those recorded from the official server. As there, two generations live side
by side: the deprecated tools (`send_event`, `get_run_status`, `poll_run_status`, `invoke_function_sync`), whose code is
here, and those that hand on the REST API v2 (`api_v2/operations.py`).

Known differences: the documentation tools have other pages (`mcp_docs.py`). `invoke_function` with an `idempotencyKey`
starts one run where the official server started two; without one it answers the run where that server sometimes answers
409.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offline.inngest_server.api_v2 import operations
from offline.inngest_server.api_v2.answers import ApiError, Object
from offline.inngest_server.api_v2.operations import Operation
from offline.inngest_server.core.state import Json, Run, RunStatus, iso
from offline.inngest_server.service import Service

from . import mcp_docs
from .mcp_tools import TOOLS

Handler = Callable[[Service, Object], Awaitable[types.CallToolResult]]

POLL_SECONDS = 30
"""How long the deprecated tools wait for a run when the caller names no timeout."""
POLL_INTERVAL_MS = 1000


class ToolError(Exception):
    """A refusal that the caller reads as the tool's text, marked as an error."""

    def __init__(self, message: str, structured: Object | None = None) -> None:
        super().__init__(message)
        self.structured = structured


class McpEndpoint:
    """The tools at `/mcp`: streamable HTTP, one JSON answer per request, and no session to lose."""

    def __init__(self, service: Service) -> None:
        protocol: Server[Any] = Server(
            "inngest-dev",
            version="v1.0.0",
            title="Inngest Dev Server MCP Tools",
            on_list_tools=_list_tools,
            on_call_tool=lambda _context, params: call_tool(service, params.name, params.arguments or {}),
        )
        self._sessions = StreamableHTTPSessionManager(protocol, json_response=True, stateless=True)

    def routes(self) -> list[Route]:
        """The routes of one server."""
        return [
            Route("/mcp", StreamableHTTPASGIApp(self._sessions), methods=["POST"]),
            Route("/mcp", _no_stream, methods=["GET", "DELETE"]),
        ]

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Answer while the app runs."""
        async with self._sessions.run():
            yield


async def _no_stream(_: Request) -> Response:
    """Refuse a client that asks for a stream: nothing is ever pushed, and an open stream would delay the end."""
    return Response("only POST is served here\n", 405, headers={"Allow": "POST"})


async def call_tool(service: Service, name: str, arguments: Object) -> types.CallToolResult:
    """Run one tool. A refusal is a result that is marked as an error; it does not raise."""
    if name not in HANDLERS:
        return _result(f"unknown tool {name!r}", None, is_error=True)
    try:
        _check(name, arguments)
        return await HANDLERS[name](service, arguments)
    except ToolError as error:
        return _result(str(error), error.structured, is_error=True)
    except ApiError as error:
        body = error.body()
        return _result(f"REST API v2 returned HTTP {error.status}: {_dump(body)}", body, is_error=True)


def _check(name: str, arguments: Object) -> None:
    """Raise `ToolError` for arguments that do not fit the tool's schema.

    As on the official server, the newer tools overlook arguments that they do not know.
    """
    tool = next(tool for tool in TOOLS if tool.name == name)
    schema = dict(tool.input_schema)
    if tool.annotations is not None:
        for field in sorted(schema.get("required", [])):
            if not str(arguments.get(field) or "").strip():
                raise ToolError(f"{field} is required", {"error": f"{field} is required"})
        schema.pop("additionalProperties")
    try:
        jsonschema.validate(arguments, schema)
    except jsonschema.ValidationError as error:
        raise ToolError(f'validating "arguments": {error.message}') from error


async def _list_tools(*_: object) -> types.ListToolsResult:
    return types.ListToolsResult(tools=TOOLS)


async def send_event(service: Service, args: Object) -> types.CallToolResult:
    """Receive an event and name the runs it started."""
    event: Object = {"name": args["name"], "data": _wrap(args.get("data"), "value") or {}}
    if args.get("user") is not None:
        event["user"] = _wrap(args["user"], "id")
    if args.get("eventIdSeed"):
        event["id"] = args["eventIdSeed"]
    try:
        event_id = service.send_events([event])[0]
    except ValueError as error:
        raise ToolError(f"failed to send event: {error}") from error
    run_ids = service.state.events[event_id].run_ids
    message = f"Event '{args['name']}' sent successfully"
    text = f"{message}\nEvent ID: {event_id}\n"
    if run_ids:
        text += f"Triggered {len(run_ids)} function run(s): [{' '.join(run_ids)}]"
    else:
        text += "No functions were triggered by this event"
    found = {"runIds": run_ids} if run_ids else {}
    return _result(text, {"eventId": event_id} | found | {"status": "accepted", "message": message})


async def get_run_status(service: Service, args: Object) -> types.CallToolResult:
    """Tell one run's status."""
    status = _run_status(service, args["runId"])
    text = _status_lines(status, "Run Status", "Function")
    text += f"Triggered by: {status['eventName']}\n"
    if "error" in status:
        text += f"\nError: {status['error']}\n"
    return _result(text, status)


async def poll_run_status(service: Service, args: Object) -> types.CallToolResult:
    """Wait, in real time, until every run has ended or `timeout` seconds are over."""
    run_ids: list[str] = args["runIds"] or []
    if not run_ids:
        raise ToolError("runIds array cannot be empty")
    begun = time.monotonic()
    deadline = begun + (args.get("timeout") or POLL_SECONDS)
    pause = (args.get("pollInterval") or POLL_INTERVAL_MS) / 1000
    while True:
        runs = [_run_status(service, run_id) for run_id in run_ids if run_id in service.state.runs]
        completed = sum(run["status"] in ("Completed", "Skipped") for run in runs)
        failed = sum(run["status"] in ("Failed", "Cancelled") for run in runs)
        running = len(runs) - completed - failed
        if not running or time.monotonic() + pause > deadline:
            break
        await asyncio.sleep(pause)
    text = f"Polled {len(run_ids)} run(s) for {round((time.monotonic() - begun) * 1000)}ms\n"
    text += f"Status: {completed} completed, {failed} failed, {running} running\n\n"
    for run in runs:
        error = f"Error: {run['error']}\n" if "error" in run else ""
        lines = _status_lines(run, "Status", "Function", function_first=True)
        text += f"--- Run {run['runId']} ---\n{lines}{error}\n"
    return _result(text, {"runs": runs, "completed": completed, "running": running, "failed": failed})


async def invoke_function_sync(service: Service, args: Object) -> types.CallToolResult:
    """Start a function and wait, in real time, for its end."""
    wanted = args["functionId"]
    function = service.state.find_function(wanted)
    if function is None:
        function = next((f for f in service.state.active_functions() if f.name == wanted), None)
    if function is None:
        raise ToolError(f"function not found: {wanted}")
    begun = time.monotonic()
    timeout = args.get("timeout") or POLL_SECONDS
    data, user = _wrap(args.get("data"), "value") or {}, _wrap(args.get("user"), "id")
    try:
        run = service.run(service.invoke(None, function.id, data, user=user))
    except ValueError as error:
        raise ToolError(str(error)) from error
    while not run.status.ended:
        if time.monotonic() - begun > timeout:
            raise ToolError(f"function invocation timed out after {timeout} seconds")
        await asyncio.sleep(0.05)
    took = round((time.monotonic() - begun) * 1000)
    status = _run_status(service, run.id)
    result = {"runId": run.id, "functionName": function.name, "status": status["status"]}
    ended = {"duration": took, "eventId": run.event.internal_id}
    if run.status is RunStatus.COMPLETED:
        text = f"Function '{function.name}' invoked successfully\nStatus: Completed\nDuration: {took}ms\n"
        if "output" in status:
            text += "Function completed with output\n"
            result |= {"output": status["output"]}
        return _result(text, result | ended)
    text = f"Function '{function.name}' failed\nStatus: {status['status']}\nDuration: {took}ms\n"
    if "error" in status:
        text += f"Error: {status['error']}\n"
        ended |= {"error": status["error"]}
    return _result(text, result | ended)


async def grep_docs(_service: Service, args: Object) -> types.CallToolResult:
    """Search the pages that are here."""
    if not args["pattern"]:
        raise ToolError("pattern cannot be empty")
    try:
        return _result(*mcp_docs.search(args["pattern"], args.get("limit") or mcp_docs.MAX_MATCHES))
    except re.error as error:
        raise ToolError(f"invalid pattern: {error}") from error


async def read_doc(_service: Service, args: Object) -> types.CallToolResult:
    """Read one of the pages that are here."""
    try:
        return _result(*mcp_docs.read(args["path"]))
    except KeyError as error:
        raise ToolError(f"file not found: {args['path']}") from error


async def list_docs(service: Service, _args: Object) -> types.CallToolResult:
    """Say which pages are here."""
    return _result(*mcp_docs.overview(_seconds(service.clock.now())))


def _run_status(service: Service, run_id: str) -> Object:
    """A run as the deprecated tools show it, with its output if that is an object. Raises `ToolError` when unknown."""
    run = service.state.runs.get(run_id)
    if run is None:
        raise ToolError("failed to get run: sql: no rows in result set")
    status: Object = {
        "runId": run.id,
        "functionName": run.function.name,
        "status": str(run.status),
        "startedAt": _seconds(run.started_at or run.queued_at),
    }
    if run.ended_at is not None:
        status["endedAt"] = _seconds(run.ended_at)
    status |= {"eventId": run.event.internal_id, "eventName": run.event.name, "steps": None}
    if isinstance(run.output, dict) and run.output:
        status["output"] = run.output
    error = _error_text(run)
    return status | ({"error": error} if error else {})


def _error_text(run: Run) -> str | None:
    if not isinstance(run.output, dict):
        return None
    if run.status is RunStatus.FAILED:
        return str(run.output.get("message") or "")
    error = run.output.get("error")
    return error if isinstance(error, str) else None


def _status_lines(status: Object, status_label: str, function_label: str, function_first: bool = False) -> str:
    lines = [f"{status_label}: {status['status']}\n", f"{function_label}: {status['functionName']}\n"]
    if function_first:
        lines.reverse()
    lines.append(f"Started: {status['startedAt']}\n")
    if "endedAt" in status:
        lines.append(f"Ended: {status['endedAt']}\n")
    return "".join(lines)


def _seconds(moment: float) -> str:
    return str(iso(int(moment))).replace(".000Z", "Z")


def _wrap(value: Json, key: str) -> Object | None:
    """The value as an object, which is all that events carry.

    A string that holds a JSON object is read. Anything else is put below `key`.
    """
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return parsed
    return {key: value}


def _v2(operation: Operation) -> Handler:
    async def handler(service: Service, args: Object) -> types.CallToolResult:
        body = operation(service, args)
        return _result(_dump(body), body)

    return handler


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _result(text: str, structured: Object | None, *, is_error: bool = False) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, structured_content=structured, is_error=is_error)


HANDLERS: dict[str, Handler] = {
    "cancel_run": _v2(operations.cancel_run),
    "get_app": _v2(operations.get_app),
    "get_apps": _v2(operations.get_apps),
    "get_event_runs": _v2(operations.get_event_runs),
    "get_function": _v2(operations.get_function),
    "get_run": _v2(operations.get_run),
    "get_run_status": get_run_status,
    "get_run_trace": _v2(operations.get_run_trace),
    "grep_docs": grep_docs,
    "health": _v2(operations.health),
    "invoke_function": _v2(operations.invoke_function),
    "invoke_function_sync": invoke_function_sync,
    "list_docs": list_docs,
    "list_function_runs": _v2(operations.list_function_runs),
    "list_functions": _v2(operations.list_functions),
    "list_runs": _v2(operations.list_runs),
    "poll_run_status": poll_run_status,
    "read_doc": read_doc,
    "rerun": _v2(operations.rerun),
    "send_event": send_event,
}
