"""The REST API v2 below `/api/v2`: the public one, for listing, rerunning and cancelling runs.

Paths and refusals are the official server's; its operations for Inngest Cloud alone (accounts, keys, insights) are not
here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.api_v2 import operations
from offline.inngest_server.api_v2.answers import ApiError, Object
from offline.inngest_server.api_v2.operations import Operation
from offline.inngest_server.core.engine import InvalidEventError

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

_LISTS = ("status", "appId", "functionId")
_FLAGS = ("includeOutput", "isDeferred", "archived")
_BODY = {"rerun": {"fromStep"}, "cancel": set(), "invoke": {"data", "idempotencyKey"}}

_GET: dict[str, Operation] = {
    "/health": operations.health,
    "/apps": operations.get_apps,
    "/apps/{appId}": operations.get_app,
    "/apps/{appId}/functions": operations.list_functions,
    "/apps/{appId}/functions/{functionId}": operations.get_function,
    "/apps/{appId}/functions/{functionId}/runs": operations.list_function_runs,
    "/events/{eventId}/runs": operations.get_event_runs,
    "/runs": operations.list_runs,
    "/runs/{runId}": operations.get_run,
    "/runs/{runId}/trace": operations.get_run_trace,
}
_POST: dict[str, Operation] = {
    "/runs/{runId}/rerun": operations.rerun,
    "/runs/{runId}/cancel": operations.cancel_run,
    "/apps/{appId}/functions/{functionId}/invoke": operations.invoke_function,
}


def routes(server: DevServer) -> list[Route]:
    """The routes of one server."""
    found = [Route(f"/api/v2{path}", _get(server, operation)) for path, operation in _GET.items()]
    found += [Route(f"/api/v2{path}", _post(server, operation), methods=["POST"]) for path, operation in _POST.items()]
    return [*found, Route("/api/v2/events", _send(server), methods=["POST"])]


Endpoint = Callable[[Request], Awaitable[Response]]


def _get(server: DevServer, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return _answered(server, operation, lambda: _query(request) | request.path_params)

    return endpoint


def _post(server: DevServer, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        known = _BODY[request.url.path.rsplit("/", 1)[1]]
        return _answered(server, operation, lambda: _fields(body, known) | request.path_params)

    return endpoint


def _send(server: DevServer) -> Endpoint:
    def send(server: DevServer, event: Object) -> Object:
        try:
            (event_id,) = server.send_events([event])
        except InvalidEventError as error:
            raise ApiError(400, "invalid_request", str(error)) from error
        return operations.answered(server, {"eventId": event_id})

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return _answered(server, send, lambda: _fields(body, {"name", "data", "id", "ts", "user", "v"}))

    return endpoint


def _answered(server: DevServer, operation: Operation, arguments: Callable[[], Object]) -> Response:
    try:
        return JSONResponse(operation(server, arguments()))
    except ApiError as error:
        return JSONResponse(error.body(), error.status)


def _query(request: Request) -> Object:
    """The query's parameters, typed; unknown ones are overlooked."""
    query = request.query_params
    found: Object = dict(query)
    for name in _LISTS:
        if name in query:
            found[name] = query.getlist(name)
    for name in _FLAGS:
        if name in query:
            found[name] = query[name] == "true"
    if "limit" in query:
        try:
            found["limit"] = int(query["limit"])
        except ValueError as error:
            raise ApiError(400, "api_error", f'parsing field "limit": invalid value {query["limit"]}') from error
    return found


def _fields(body: bytes, known: set[str]) -> Object:
    """A POST's JSON object; none counts as an empty one."""
    try:
        found: Any = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError(400, "api_error", f"invalid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(400, "api_error", "expected a JSON object")
    for name in found:
        if name not in known:
            raise ApiError(400, "api_error", f'unknown field "{name}"')
    return found
