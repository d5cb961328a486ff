"""What only the stand-in has beside its page: its clock, and answers to the paths that it does not serve."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline.inngest_server.core import go_json
from offline.inngest_server.core.state import OFFICIAL_COMMAND
from offline.inngest_server.service import Service


def routes(service: Service) -> list[Route]:
    """The routes of one server. They have to come last: the last of them takes every path."""
    api = _StandIn(service)
    return [
        Route("/offline/clock", api.clock),
        Route("/offline/advance", api.advance, methods=["POST"]),
        Route("/offline/settle", api.settle, methods=["POST"]),
        Route("/{path:path}", api.unsupported, methods=["GET", "POST", "PUT", "DELETE"]),
    ]


def missing(path: str, extra: str, error: ModuleNotFoundError) -> list[Route]:
    """The route of what needs an extra of the package, when that is not installed. It says so to whoever asks."""

    async def endpoint(_: Request) -> Response:
        package = str(error.name).partition(".")[0]
        message = f'501: {path} needs the package {package}: pip install "inngest-stand-in[{extra}]"\n'
        return Response(message, 501, media_type="text/plain")

    return [Route(path, endpoint, methods=["GET", "POST", "DELETE"])]


class _StandIn:
    def __init__(self, service: Service) -> None:
        self._service = service

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
