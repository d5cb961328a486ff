"""The server's HTTP face: what SDKs call, what people call, and the clock.

The other views are mounted here when they exist: `mcp.mount_mcp(app, server)` and
`graphql.graphql_routes(server)`.
"""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from ulid import ULID

from offline.inngest_server.core.app_client import loads
from offline.inngest_server.core.engine import InvalidEventError
from offline.inngest_server.core.registration import InvalidRegistrationError

from . import rest_v1, rest_v2

if TYPE_CHECKING:
    from offline.inngest_server.server import DevServer

OFFICIAL = "the official dev server (npx inngest-cli@latest dev)"

ANSWER_FIRST = 0.01
"""Seconds between the answer to a sender and the run it started: senders have their ids before a run begins, as on
the official server, which takes a tenth of a second."""

_PAGE = """<!doctype html><meta charset="utf-8"><title>Stand-in for the Inngest dev server</title>
<body style="font: 16px/1.5 system-ui; max-width: 42rem; margin: 3rem auto">
<h1>A stand-in for the Inngest dev server</h1>
<p>This is not the official server. It runs the same functions over the same protocol for tests and demos,
keeps everything in memory, and can skip time. For the real one, with its user interface: <code>npx
inngest-cli@latest dev</code>.</p>
<p>Server time: {now} · apps: {apps} · functions: {functions} · runs: {runs}</p>
<ul><li><code>POST /e/any-key</code> sends events</li><li><code>GET /v1/events</code>,
<code>/v1/events/ID/runs</code>, <code>/v1/runs/ID</code> show what happened</li>
<li><code>POST /offline/advance {{"seconds": 14400}}</code> skips four hours,
<code>GET /offline/clock</code> tells the time</li></ul>"""


def create_app(server: DevServer) -> Starlette:
    """The ASGI application of one server."""
    api = _Api(server)
    package = __package__
    views: list[Any] = []
    if find_spec(f"{package}.graphql"):
        views = import_module(f"{package}.graphql").graphql_routes(server)
    app = Starlette(
        routes=[
            Route("/fn/register", api.register, methods=["POST", "PUT"]),
            Route("/e/{key}", api.events, methods=["POST"]),
            Route("/invoke/{slug:path}", api.invoke, methods=["POST"]),
            Route("/health", api.health),
            Route("/dev", api.dev),
            Route("/", api.page),
            Route("/offline/clock", api.clock),
            Route("/offline/advance", api.advance, methods=["POST"]),
            Route("/offline/settle", api.settle, methods=["POST"]),
            *rest_v1.routes(server),
            *rest_v2.routes(server),
            *server.gateway.routes(),
            *server.realtime.routes(),
            *views,
        ]
    )
    if find_spec(f"{package}.mcp"):
        import_module(f"{package}.mcp").mount_mcp(app, server)
    app.router.routes.append(Route("/{path:path}", unsupported, methods=["GET", "POST", "PUT", "DELETE"]))
    return app


async def unsupported(request: Request) -> Response:
    """The answer to every path this server does not have."""
    message = f"404: the stand-in does not serve {request.url.path}; {OFFICIAL} may\n"
    return Response(message, 404, media_type="text/plain")


class _Api:
    def __init__(self, server: DevServer) -> None:
        self._server = server

    async def register(self, request: Request) -> Response:
        kind = request.headers.get("x-inngest-expected-server-kind", "dev")
        if kind != "dev":
            return JSONResponse({"error": f"Expected server kind dev, got {kind}", "status": 400}, 400)
        try:
            return JSONResponse(self._server.register(await _json(request)))
        except (InvalidRegistrationError, ValueError) as error:
            return JSONResponse({"error": f"Invalid request: {error}", "status": 400}, 400)

    async def events(self, request: Request) -> Response:
        ids: list[str] = []
        executor = self._server.engine.executor
        try:
            body = await _json(request)
            if not isinstance(body, dict | list):
                raise ValueError("Request body must contain an event object or an array of event objects")
            batch = body if isinstance(body, list) else [body]
            seed = request.headers.get("x-inngest-event-id-seed")
            executor.start_delay = ANSWER_FIRST
            ids = self._server.send_events(batch, _seeded_ids(seed, len(batch)))
        except InvalidEventError as error:
            return JSONResponse({"ids": error.ids or [""], "status": 400, "error": str(error)}, 400)
        except ValueError as error:
            return JSONResponse({"ids": [""], "status": 400, "error": str(error)}, 400)
        finally:
            executor.start_delay = 0.0
        return JSONResponse({"ids": ids or [""], "status": 200})

    async def invoke(self, request: Request) -> Response:
        try:
            body = await _json(request)
        except ValueError:
            body = None
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(data, dict | None):
            return JSONResponse({"error": "Unable to read post data request", "status": 400}, 400)
        event = self._server.invoke_event(request.path_params["slug"], data or {})
        return JSONResponse({"id": event.internal_id, "status": 200})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": 200, "message": "OK"})

    async def dev(self, _: Request) -> Response:
        return JSONResponse(
            {
                "version": "stand-in",
                "startOpts": {"autodiscover": False, "poll": True},
                "functions": [f.config | {"id": f.uuid, "slug": f.id} for f in self._server.functions()],
                "handlers": [{"appID": a.uuid, "url": a.url, "error": a.error} for a in self._server.apps()],
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            }
        )

    async def page(self, _: Request) -> Response:
        server = self._server
        return HTMLResponse(
            _PAGE.format(
                now=server.now().isoformat(timespec="seconds"),
                apps=len(server.apps()),
                functions=len(server.functions()),
                runs=len(server.state.runs),
            )
        )

    async def clock(self, _: Request) -> Response:
        offset = self._server.engine.clock.offset
        return JSONResponse({"now": self._now(), "offset_seconds": offset})

    async def advance(self, request: Request) -> Response:
        try:
            body = await _json(request)
            seconds = float(body["seconds"])
        except (ValueError, TypeError, KeyError):
            return JSONResponse({"error": 'expected {"seconds": number}'}, 400)
        try:
            fired = await self._server.advance(timedelta(seconds=seconds))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        except TimeoutError:
            return self._busy()
        return JSONResponse({"now": self._now(), "fired": fired})

    async def settle(self, _: Request) -> Response:
        try:
            await self._server.settle()
        except TimeoutError:
            return self._busy()
        return JSONResponse({"now": self._now()})

    def _now(self) -> str:
        return self._server.now().isoformat().replace("+00:00", "Z")

    def _busy(self) -> Response:
        count = self._server.engine.scheduler.in_flight
        return JSONResponse({"error": f"{count} requests are still unanswered", "now": self._now()}, 504)


async def _json(request: Request) -> Any:
    """The body as JSON. Raises `ValueError`."""
    return loads(await request.body() or b" ")


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
