"""What only the stand-in has: its page, its clock, and the answer to every path that it does not serve."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.core import go_json
from offline.inngest_server.core.state import OFFICIAL_COMMAND
from offline.inngest_server.service import Service

_PAGE = """<!doctype html><meta charset="utf-8"><title>Stand-in for the Inngest dev server</title>
<body style="font: 16px/1.5 system-ui; max-width: 42rem; margin: 3rem auto">
<h1>A stand-in for the Inngest dev server</h1>
<p>This is not the official server. It runs the same functions over the same protocol for tests and demos,
keeps everything in memory, and can skip time. For the real one, with its user interface: <code>{official}</code>.</p>
<p>Server time: {now} · apps: {apps} · functions: {functions} · runs: {runs}</p>
<ul><li><code>POST /e/any-key</code> sends events</li><li><code>GET /v1/events</code>,
<code>/v1/events/ID/runs</code>, <code>/v1/runs/ID</code> show what happened</li>
<li><code>POST /offline/advance {{"seconds": 14400}}</code> skips four hours,
<code>GET /offline/clock</code> tells the time</li></ul>"""


def routes(service: Service) -> list[Route]:
    """The routes of one server. They have to come last: the last of them takes every path."""
    api = _StandIn(service)
    return [
        Route("/", api.page),
        Route("/offline/clock", api.clock),
        Route("/offline/advance", api.advance, methods=["POST"]),
        Route("/offline/settle", api.settle, methods=["POST"]),
        Route("/{path:path}", api.unsupported, methods=["GET", "POST", "PUT", "DELETE"]),
    ]


class _StandIn:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def page(self, _: Request) -> Response:
        service = self._service
        return HTMLResponse(
            _PAGE.format(
                official=OFFICIAL_COMMAND,
                now=service.now().isoformat(timespec="seconds"),
                apps=len(service.apps()),
                functions=len(service.functions()),
                runs=len(service.state.runs),
            )
        )

    async def clock(self, _: Request) -> Response:
        return JSONResponse({"now": self._now(), "offset_seconds": self._service.clock.offset})

    async def advance(self, request: Request) -> Response:
        try:
            seconds = float(go_json.loads(await request.body())["seconds"])
        except (ValueError, TypeError, KeyError):
            return JSONResponse({"error": 'expected {"seconds": number}'}, 400)
        try:
            fired = await self._service.advance(timedelta(seconds=seconds))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        except TimeoutError:
            return self._busy()
        return JSONResponse({"now": self._now(), "fired": fired})

    async def settle(self, _: Request) -> Response:
        try:
            await self._service.settle()
        except TimeoutError:
            return self._busy()
        return JSONResponse({"now": self._now()})

    async def unsupported(self, request: Request) -> Response:
        path = request.url.path
        message = f"404: the stand-in does not serve {path}; the official dev server ({OFFICIAL_COMMAND}) may\n"
        return Response(message, 404, media_type="text/plain")

    def _now(self) -> str:
        return self._service.now().isoformat().replace("+00:00", "Z")

    def _busy(self) -> Response:
        error = f"{self._service.in_flight} requests are still unanswered"
        return JSONResponse({"error": error, "now": self._now()}, 504)
