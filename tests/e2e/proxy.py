"""Between the engine and the app: an HTTP proxy in which one call of the engine's goes wrong."""

import asyncio
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

Held = Literal["late", "again later"]
How = Literal["request lost", "response lost", "twice together", "twice in turn", Held]


@dataclass(frozen=True)
class Mishap:
    """What happens to call number `at` (from 0). `late` and `again later`: before the call that comes `after` more.

    A late request is one that the engine has given up on: it sees a broken connection, tries again, and the app is
    called by the old request after that. With no further call left, both are delivered when all is over.
    """

    at: int
    how: How
    after: int = 1


@dataclass(frozen=True)
class _Call:
    path: str
    headers: dict[str, str]
    body: bytes


class Proxy:
    """Passes on what comes to `origin`; the calls are counted and the one of the mishap goes wrong."""

    def __init__(self, app_port: int, mishap: Mishap | None) -> None:
        self.origin = ""
        self.calls: list[str] = []
        self.happened = False
        self._target = f"http://127.0.0.1:{app_port}"
        self._mishap = mishap
        self._held: _Call | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**27)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def deliver_the_rest(self) -> None:
        """Deliver what is still on its way."""
        held, self._held = self._held, None
        if held is not None:
            await self._pass_on("POST", held)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = _Call(request.path_qs, dict(request.headers), await request.read())
        if request.method != "POST":
            return _response(await self._pass_on(request.method, call))
        number = len(self.calls)
        self.calls.append(request.query["fnId"].removeprefix("customer-support-"))
        mishap = self._mishap
        if mishap is not None and number == mishap.at + mishap.after:
            await self.deliver_the_rest()
        if mishap is None or number != mishap.at:
            return _response(await self._pass_on("POST", call))
        self.happened = True
        match mishap.how:
            case "request lost":
                return _broken(request)
            case "response lost":
                await self._pass_on("POST", call)
                return _broken(request)
            case "twice together":
                first, _ = await asyncio.gather(self._pass_on("POST", call), self._pass_on("POST", call))
                return _response(first)
            case "twice in turn":
                await self._pass_on("POST", call)
                return _response(await self._pass_on("POST", call))
            case "late":
                self._held = call
                return _broken(request)
            case "again later":
                self._held = call
                return _response(await self._pass_on("POST", call))

    async def _pass_on(self, method: str, call: _Call) -> tuple[int, dict[str, str], bytes] | None:
        assert self._session is not None
        try:
            async with self._session.request(
                method, self._target + call.path, headers=call.headers, data=call.body
            ) as response:
                return response.status, dict(response.headers), await response.read()
        except aiohttp.ClientError:
            return None


def _response(answer: tuple[int, dict[str, str], bytes] | None) -> web.StreamResponse:
    if answer is None:
        return web.Response(status=502, text="the app does not answer")
    status, headers, body = answer
    kept = {name: value for name, value in headers.items() if name.lower() not in {"content-length", "connection"}}
    return web.Response(status=status, headers=kept, body=body)


def _broken(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
