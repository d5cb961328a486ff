"""`/v1/cancellations`: ends the runs of one function that started in a span of time, in bulk.

Inngest Cloud's API. The official dev server keeps no cancellations and answers 500 here: for something that has to
work everywhere, list the runs and cancel each (`rest_v2.py`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from ulid import ULID

from offline.inngest_server.core import expressions
from offline.inngest_server.core.state import ACCOUNT_ID, ENVIRONMENT_ID, iso, stable_uuid

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

_LENIENCY = 5.0
"""Seconds `started_before` may lie ahead."""


def routes(server: DevServer) -> list[Route]:
    """The routes of one server."""
    api = _Cancellations(server)
    return [
        Route("/v1/cancellations", api.create, methods=["POST"]),
        Route("/v1/cancellations", api.show),
        Route("/v1/cancellations/{id}", api.delete, methods=["DELETE"]),
    ]


def error(status: int, message: str) -> Response:
    """A refusal as REST v1 words it."""
    return JSONResponse({"error": message, "data": None, "status": status}, status)


def is_ulid(text: str) -> bool:
    """Whether `text` can be the id of a run, an event or a cancellation."""
    try:
        ULID.from_str(text)
    except ValueError:
        return False
    return True


class _Cancellations:
    def __init__(self, server: DevServer) -> None:
        self._server = server
        self._made: dict[str, dict[str, Any]] = {}

    async def create(self, request: Request) -> Response:
        engine, state = self._server.engine, self._server.state
        now = engine.clock.now()
        try:
            body = json.loads(await request.body())
            before, after = _time(body.get("started_before")), _time(body.get("started_after"))
        except (ValueError, TypeError, AttributeError):
            return error(400, "Invalid cancellation request")
        if problems := _problems(body, before, after, now):
            return error(400, "\n".join(problems))
        function = state.find_function(body["function_id"], body["app_id"])
        if function is None:
            return error(404, "function not found")
        condition = body.get("if")
        if condition:
            try:
                expressions.compile_expression(condition)
            except expressions.InvalidExpressionError as problem:
                return error(400, str(problem))
        for live in list(engine.live.values()):
            run = live.run
            in_time = (after or 0.0) <= run.queued_at <= (before or now)
            if run.function.id != function.id or not in_time:
                continue
            if expressions.holds(condition, {"event": run.event.payload()}):
                engine.cancel(live, "in bulk")
        made = {
            "created_at": iso(now),
            "name": None,
            "id": str(ULID.from_timestamp(now)),
            "account_id": ACCOUNT_ID,
            "environment_id": ENVIRONMENT_ID,
            "app_id": stable_uuid(function.app_id),
            "function_internal_id": function.uuid,
            "function_id": function.id,
            "started_after": body.get("started_after"),
            "started_before": body["started_before"],
            **({"if": condition} if condition else {}),
            "kind": 0,
            "cause": 3,
            "queue_name": None,
        }
        self._made[str(made["id"])] = made
        return self._ok(made)

    async def show(self, _: Request) -> Response:
        return self._ok(list(self._made.values()))

    async def delete(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        if not is_ulid(wanted):
            return error(400, "Invalid cancellation ID")
        if self._made.pop(wanted, None) is None:
            return error(404, "Cancellation not found")
        return self._ok({"ok": True})

    def _ok(self, data: Any) -> Response:
        return JSONResponse({"data": data, "metadata": {"fetched_at": iso(self._server.engine.clock.now())}})


def _problems(body: dict[str, Any], before: float | None, after: float | None, now: float) -> list[str]:
    """Everything that is wrong with a request, in the official server's words."""
    found = [f"{name} is required" for name in ("app_id", "function_id", "started_before") if not body.get(name)]
    if before is not None and before > now + _LENIENCY:
        found.append("started_before must be in the past")
    if before is not None and after is not None and after > before:
        found.append("started_after must be before started_before")
    return found


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
