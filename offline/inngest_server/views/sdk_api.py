"""What SDKs call: they register, send events, invoke functions, and fetch a run's state that is too large to send."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from ulid import ULID

from offline.inngest_server.core import go_json
from offline.inngest_server.core.registration import InvalidRegistrationError
from offline.inngest_server.service import InvalidEventError, NotFoundError, Service

ANSWER_FIRST = 0.01
"""Seconds between the answer to a sender and the run it started: senders have their ids before a run begins, as on
the official server, which takes a tenth of a second."""


def routes(service: Service) -> list[Route]:
    """The routes of one server."""
    api = _SdkApi(service)
    return [
        Route("/fn/register", api.register, methods=["POST", "PUT"]),
        Route("/e/{key}", api.events, methods=["POST"]),
        Route("/invoke/{slug:path}", api.invoke, methods=["POST"]),
        Route("/v0/runs/{id}/batch", api.run_events),
        Route("/v0/runs/{id}/actions", api.run_steps),
        Route("/health", api.health),
        Route("/dev", api.dev),
    ]


class _SdkApi:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def register(self, request: Request) -> Response:
        kind = request.headers.get("x-inngest-expected-server-kind", "dev")
        if kind != "dev":
            return JSONResponse({"error": f"Expected server kind dev, got {kind}", "status": 400}, 400)
        try:
            return JSONResponse(self._service.register(await _json(request)))
        except (InvalidRegistrationError, ValueError) as error:
            return JSONResponse({"error": f"Invalid request: {error}", "status": 400}, 400)

    async def events(self, request: Request) -> Response:
        try:
            body = await _json(request)
            if not isinstance(body, dict | list):
                raise ValueError("Request body must contain an event object or an array of event objects")
            events = body if isinstance(body, list) else [body]
            seeded = _seeded_ids(request.headers.get("x-inngest-event-id-seed"), len(events))
            ids = self._service.send_events(events, seeded, start_after=ANSWER_FIRST)
        except InvalidEventError as error:
            return JSONResponse({"ids": error.ids or [""], "status": 400, "error": str(error)}, 400)
        except ValueError as error:
            return JSONResponse({"ids": [""], "status": 400, "error": str(error)}, 400)
        return JSONResponse({"ids": ids or [""], "status": 200})

    async def invoke(self, request: Request) -> Response:
        try:
            body = await _json(request)
        except ValueError:
            body = None
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(data, dict | None):
            return JSONResponse({"error": "Unable to read post data request", "status": 400}, 400)
        event = self._service.invoke_event(request.path_params["slug"], data or {})
        return JSONResponse({"id": event.internal_id, "status": 200})

    async def run_events(self, request: Request) -> Response:
        try:
            run = self._service.run(request.path_params["id"])
        except NotFoundError:
            return _run_not_found()
        return JSONResponse([event.payload() for event in run.events])

    async def run_steps(self, request: Request) -> Response:
        try:
            return JSONResponse(self._service.run(request.path_params["id"]).memos)
        except NotFoundError:
            return _run_not_found()

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": 200, "message": "OK"})

    async def dev(self, _: Request) -> Response:
        """Say that this is a dev server; the SDK asks here."""
        return JSONResponse(
            {
                "version": "stand-in",
                "startOpts": {"autodiscover": False, "poll": True},
                "functions": [f.config | {"id": f.uuid, "slug": f.id} for f in self._service.functions()],
                "handlers": [{"appID": a.uuid, "url": a.url, "error": a.error} for a in self._service.apps()],
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            }
        )


def _run_not_found() -> Response:
    return JSONResponse({"error": "Run not found", "data": None, "status": 404}, 404)


async def _json(request: Request) -> Any:
    """The body as JSON. Raises `ValueError`."""
    return go_json.loads(await request.body() or b" ")


def _seeded_ids(seed: str | None, count: int) -> list[str] | None:
    """Ids made from the sender's seed, so that a send repeated after a lost answer is recognised."""
    if not seed or not count:
        return None
    millis, _, text = seed.partition(",")
    try:
        entropy = int.from_bytes(base64.b64decode(text, validate=True)[:10].ljust(10, b"\0"))
        start = int(millis).to_bytes(6)
    except (ValueError, OverflowError, binascii.Error):
        return None
    return [str(ULID(start + ((entropy + number) % (1 << 80)).to_bytes(10))) for number in range(count)]
