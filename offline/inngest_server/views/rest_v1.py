"""The REST views `/v1` (for people and tests) and `/v0/runs` (from which an SDK fetches a state that is too large).

Answers have the recorded shape, without the official server's cache: what is true now is what is shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.core.state import ENVIRONMENT_ID, Event, Run, RunStatus, iso

from . import rest_v1_cancellations as cancellations
from .rest_v1_cancellations import error, is_ulid

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

_MAX_EVENTS = 100
_NIL = "00000000-0000-0000-0000-000000000000"


def routes(server: DevServer) -> list[Route]:
    """The routes of one server."""
    api = _Rest(server)
    return [
        Route("/v1/events", api.events),
        Route("/v1/events/{id}", api.event),
        Route("/v1/events/{id}/runs", api.event_runs),
        Route("/v1/runs/{id}", api.run),
        Route("/v1/runs/{id}", api.cancel, methods=["DELETE"]),
        Route("/v1/runs/{id}/jobs", api.jobs),
        Route("/v1/apps/{app}/functions", api.app_functions),
        *cancellations.routes(server),
        Route("/v0/runs/{id}/batch", api.batch),
        Route("/v0/runs/{id}/actions", api.actions),
    ]


def event_body(event: Event) -> dict[str, Any]:
    """An event as `/v1/events` shows it."""
    return {
        "internal_id": event.internal_id,
        "account_id": _NIL,
        "environment_id": _NIL,
        "source": "",
        "source_id": None,
        "received_at": iso(event.received_at),
        "id": event.id,
        "name": event.name,
        "data": event.data,
    }


def run_body(run: Run) -> dict[str, Any]:
    """A run as `/v1/runs/{id}` shows it."""
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


class _Rest:
    def __init__(self, server: DevServer) -> None:
        self._server = server

    def _ok(self, data: Any) -> Response:
        return JSONResponse({"data": data, "metadata": {"fetched_at": iso(self._server.engine.clock.now())}})

    async def events(self, request: Request) -> Response:
        query = request.query_params
        try:
            limit = max(1, min(int(query.get("limit") or 10), _MAX_EVENTS))
            newest = _time(query.get("received_before"))
            oldest = _time(query.get("received_after"))
        except ValueError:
            return error(400, "Invalid query parameter")
        found = []
        for event in self._server.events(internal=bool(query.get("name"))):
            if query.get("name") and event.name != query["name"]:
                continue
            if query.get("cursor") and event.internal_id >= query["cursor"]:
                continue
            if (newest and event.received_at > newest) or (oldest and event.received_at < oldest):
                continue
            found += [event_body(event)] * event.deliveries
            if len(found) >= limit:
                break
        return self._ok(found[:limit])

    async def event(self, request: Request) -> Response:
        event_id = request.path_params["id"]
        if not is_ulid(event_id):
            return error(400, f"Invalid event ID: {event_id}")
        event = self._server.state.events.get(event_id)
        return error(404, "Event not found") if event is None else self._ok(event_body(event))

    async def event_runs(self, request: Request) -> Response:
        event_id = request.path_params["id"]
        if not is_ulid(event_id):
            return error(400, f"Invalid event ID: {event_id}")
        return self._ok([run_body(run) for run in self._server.state.runs_of_event(event_id)])

    async def run(self, request: Request) -> Response:
        run = self._find(request)
        return error(404, "Run not found") if run is None else self._ok(run_body(run))

    async def cancel(self, request: Request) -> Response:
        run_id = request.path_params["id"]
        if not is_ulid(run_id):
            return error(400, f"Invalid run ID: {run_id}")
        if run_id not in self._server.state.runs:
            return error(404, f"Unable to load function run: {run_id}")
        self._server.cancel_run(run_id)
        return Response(media_type="application/json")

    async def jobs(self, request: Request) -> Response:
        run = self._find(request)
        if run is None:
            return error(404, "Run not found")
        live = self._server.engine.live.get(run.id)
        timers = live.timers.items() if live else ()
        return self._ok([{"run_at": iso(timer.when), "kind": name} for name, timer in timers])

    async def app_functions(self, request: Request) -> Response:
        app = self._server.state.apps.get(request.path_params["app"])
        if app is None:
            return error(404, "App not found")
        functions = [{"id": f.uuid, "slug": f.id, "name": f.name} for f in self._server.functions(app.id)]
        return self._ok(functions)

    async def batch(self, request: Request) -> Response:
        run = self._find(request)
        return error(404, "Run not found") if run is None else JSONResponse([e.payload() for e in run.events])

    async def actions(self, request: Request) -> Response:
        run = self._find(request)
        return error(404, "Run not found") if run is None else JSONResponse(run.memos)

    def _find(self, request: Request) -> Run | None:
        return self._server.state.runs.get(request.path_params["id"])


def _time(text: str | None) -> float | None:
    if not text:
        return None
    return datetime.fromisoformat(text).timestamp()
