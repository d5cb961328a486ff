"""The REST API v2 below `/api/v2`: the public one, for listing, rerunning and cancelling runs.

Paths and refusals are the official server's. Its operations for Inngest Cloud alone (accounts, keys, insights) are not
here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.api_v2 import operations
from offline.inngest_server.api_v2.answers import ApiError, Object
from offline.inngest_server.api_v2.operations import Operation
from offline.inngest_server.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

_LISTS = ("status", "appId", "functionId")
_FLAGS = ("includeOutput", "isDeferred", "archived")


def routes(service: Service) -> list[Route]:
    """The routes of one server."""

    def get(path: str, operation: Operation) -> Route:
        return Route(f"/api/v2{path}", _get(service, operation))

    def post(path: str, operation: Operation, *fields: str) -> Route:
        return Route(f"/api/v2{path}", _post(service, operation, fields), methods=["POST"])

    return [
        get("/health", operations.health),
        get("/apps", operations.get_apps),
        get("/apps/{appId}", operations.get_app),
        get("/apps/{appId}/functions", operations.list_functions),
        get("/apps/{appId}/functions/{functionId}", operations.get_function),
        get("/apps/{appId}/functions/{functionId}/runs", operations.list_function_runs),
        get("/events/{eventId}/runs", operations.get_event_runs),
        get("/runs", operations.list_runs),
        get("/runs/{runId}", operations.get_run),
        get("/runs/{runId}/trace", operations.get_run_trace),
        post("/runs/{runId}/rerun", operations.rerun, "fromStep"),
        post("/runs/{runId}/cancel", operations.cancel_run),
        post("/apps/{appId}/functions/{functionId}/invoke", operations.invoke_function, "data", "idempotencyKey"),
        post("/events", operations.send_event, "name", "data", "id", "ts", "user", "v"),
    ]


def _get(service: Service, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return _answer(service, operation, lambda: _query(request) | request.path_params)

    return endpoint


def _post(service: Service, operation: Operation, fields: tuple[str, ...]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return _answer(service, operation, lambda: _fields(body, fields) | request.path_params)

    return endpoint


def _answer(service: Service, operation: Operation, arguments: Callable[[], Object]) -> Response:
    try:
        return JSONResponse(operation(service, arguments()))
    except ApiError as error:
        return JSONResponse(error.body(), error.status)


def _query(request: Request) -> Object:
    """The query's parameters, typed; unknown ones are overlooked. Raises `ApiError`."""
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


def _fields(body: bytes, known: tuple[str, ...]) -> Object:
    """A POST's JSON object; no body counts as an empty one. Raises `ApiError`."""
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
