"""The REST API `/v1`, by which people and tests see events and runs.

Answers have the recorded shape, without the official server's cache: what is true now is what is shown.
`/v1/cancellations`, which ends the runs of one function in bulk, is Inngest Cloud's. The official dev server keeps no
cancellations and answers 500: for something that has to work everywhere, list runs and cancel each (`rest_v2.py`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from ulid import ULID

from offline.inngest_server.core import expressions
from offline.inngest_server.core.state import (
    ACCOUNT_ID,
    ENVIRONMENT_ID,
    Event,
    Function,
    Run,
    RunStatus,
    iso,
    stable_uuid,
)
from offline.inngest_server.service import NotFoundError, Service

_MAX_EVENTS = 100
"""Events in one answer."""

_LENIENCY = 5.0
"""Seconds that a cancellation's `started_before` may lie ahead."""

_NO_ID = "00000000-0000-0000-0000-000000000000"


def routes(service: Service) -> list[Route]:
    """The routes of one server."""
    api = _RestV1(service)
    return [
        Route("/v1/events", api.events),
        Route("/v1/events/{id}", api.event),
        Route("/v1/events/{id}/runs", api.event_runs),
        Route("/v1/runs/{id}", api.run),
        Route("/v1/runs/{id}", api.cancel_run, methods=["DELETE"]),
        Route("/v1/runs/{id}/jobs", api.jobs),
        Route("/v1/apps/{app}/functions", api.app_functions),
        Route("/v1/cancellations", api.create_cancellation, methods=["POST"]),
        Route("/v1/cancellations", api.cancellations),
        Route("/v1/cancellations/{id}", api.delete_cancellation, methods=["DELETE"]),
    ]


class _RestV1:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._cancellations: dict[str, dict[str, Any]] = {}

    async def events(self, request: Request) -> Response:
        query = request.query_params
        try:
            limit = max(1, min(int(query.get("limit") or 10), _MAX_EVENTS))
            newest = _seconds(query.get("received_before"))
            oldest = _seconds(query.get("received_after"))
        except ValueError:
            return _refusal(400, "Invalid query parameter")
        found: list[dict[str, Any]] = []
        for event in self._service.events(internal=bool(query.get("name"))):
            if query.get("name") and event.name != query["name"]:
                continue
            if query.get("cursor") and event.internal_id >= query["cursor"]:
                continue
            if (newest and event.received_at > newest) or (oldest and event.received_at < oldest):
                continue
            found += [_event_body(event)] * event.deliveries
            if len(found) >= limit:
                break
        return self._answer(found[:limit])

    async def event(self, request: Request) -> Response:
        event_id = request.path_params["id"]
        if not _is_ulid(event_id):
            return _refusal(400, f"Invalid event ID: {event_id}")
        event = self._service.state.events.get(event_id)
        return _refusal(404, "Event not found") if event is None else self._answer(_event_body(event))

    async def event_runs(self, request: Request) -> Response:
        event_id = request.path_params["id"]
        if not _is_ulid(event_id):
            return _refusal(400, f"Invalid event ID: {event_id}")
        return self._answer([_run_body(run) for run in self._service.state.runs_of_event(event_id)])

    async def run(self, request: Request) -> Response:
        try:
            return self._answer(_run_body(self._service.run(request.path_params["id"])))
        except NotFoundError:
            return _refusal(404, "Run not found")

    async def cancel_run(self, request: Request) -> Response:
        run_id = request.path_params["id"]
        if not _is_ulid(run_id):
            return _refusal(400, f"Invalid run ID: {run_id}")
        try:
            self._service.cancel_run(run_id)
        except NotFoundError:
            return _refusal(404, f"Unable to load function run: {run_id}")
        return Response(media_type="application/json")

    async def jobs(self, request: Request) -> Response:
        try:
            run = self._service.run(request.path_params["id"])
        except NotFoundError:
            return _refusal(404, "Run not found")
        return self._answer([{"run_at": iso(when), "kind": name} for name, when in self._service.timers(run)])

    async def app_functions(self, request: Request) -> Response:
        app = self._service.state.apps.get(request.path_params["app"])
        if app is None:
            return _refusal(404, "App not found")
        return self._answer([{"id": f.uuid, "slug": f.id, "name": f.name} for f in self._service.functions(app.id)])

    async def create_cancellation(self, request: Request) -> Response:
        now = self._service.clock.now()
        try:
            body = json.loads(await request.body())
            before, after = _seconds(body.get("started_before")), _seconds(body.get("started_after"))
        except (ValueError, TypeError, AttributeError):
            return _refusal(400, "Invalid cancellation request")
        if problems := _problems(body, before, after, now):
            return _refusal(400, "\n".join(problems))
        function = self._service.state.find_function(body["function_id"], body["app_id"])
        if function is None:
            return _refusal(404, "function not found")
        if body.get("if"):
            try:
                expressions.compile_expression(body["if"])
            except expressions.InvalidExpressionError as problem:
                return _refusal(400, str(problem))
        self._service.cancel_runs(function, after or 0.0, before or now, body.get("if"))
        made = _cancellation(function, body, now)
        self._cancellations[made["id"]] = made
        return self._answer(made)

    async def cancellations(self, _: Request) -> Response:
        return self._answer(list(self._cancellations.values()))

    async def delete_cancellation(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        if not _is_ulid(wanted):
            return _refusal(400, "Invalid cancellation ID")
        if self._cancellations.pop(wanted, None) is None:
            return _refusal(404, "Cancellation not found")
        return self._answer({"ok": True})

    def _answer(self, data: Any) -> Response:
        return JSONResponse({"data": data, "metadata": {"fetched_at": iso(self._service.clock.now())}})


def _event_body(event: Event) -> dict[str, Any]:
    return {
        "internal_id": event.internal_id,
        "account_id": _NO_ID,
        "environment_id": _NO_ID,
        "source": "",
        "source_id": None,
        "received_at": iso(event.received_at),
        "id": event.id,
        "name": event.name,
        "data": event.data,
    }


def _run_body(run: Run) -> dict[str, Any]:
    body: dict[str, Any] = {
        "run_id": run.id,
        "run_started_at": iso(run.queued_at),
        "function_id": run.function.uuid,
        "function_version": 0,
        "environment_id": ENVIRONMENT_ID,
        "event_id": run.event.internal_id,
    }
    if run.batch_id:
        body["batch_id"] = run.batch_id
    if run.original_run_id:
        body["original_run_id"] = run.original_run_id
    if run.cron:
        body["cron"] = run.cron
    body |= {"status": run.status, "ended_at": iso(run.ended_at)}
    if run.status in (RunStatus.COMPLETED, RunStatus.FAILED):
        body["output"] = run.output
    return body


def _cancellation(function: Function, asked: dict[str, Any], now: float) -> dict[str, Any]:
    made = {
        "created_at": iso(now),
        "name": None,
        "id": str(ULID.from_timestamp(now)),
        "account_id": ACCOUNT_ID,
        "environment_id": ENVIRONMENT_ID,
        "app_id": stable_uuid(function.app_id),
        "function_internal_id": function.uuid,
        "function_id": function.id,
        "started_after": asked.get("started_after"),
        "started_before": asked["started_before"],
        "kind": 0,
        "cause": 3,
        "queue_name": None,
    }
    if asked.get("if"):
        made["if"] = asked["if"]
    return made


def _problems(body: dict[str, Any], before: float | None, after: float | None, now: float) -> list[str]:
    """Everything that is wrong with a cancellation, in the official server's words."""
    found = [f"{name} is required" for name in ("app_id", "function_id", "started_before") if not body.get(name)]
    if before is not None and before > now + _LENIENCY:
        found.append("started_before must be in the past")
    if before is not None and after is not None and after > before:
        found.append("started_after must be before started_before")
    return found


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": message, "data": None, "status": status}, status)


def _is_ulid(text: str) -> bool:
    """Whether `text` can be the id of a run, an event or a cancellation."""
    try:
        ULID.from_str(text)
    except ValueError:
        return False
    return True


def _seconds(text: str | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 date. Raises `ValueError`, and `TypeError` for what is not text."""
    return datetime.fromisoformat(text).timestamp() if text else None
