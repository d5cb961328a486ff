"""How apps and the server find each other: what an app registers, and the PUT requests that ask it to.

An app registers by `POST /fn/register` whenever it receives a PUT. The server sends a PUT to every address it was
given, to the apps that it knows (so that it notices when one was restarted with other functions) and, with discovery
on, to what answers on the usual development ports.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import aiohttp

from .engine import Engine
from .registration import InvalidRegistrationError, parse_functions
from .state import App, Function

log = logging.getLogger("inngest_server")

PORTS = [80, 443, *range(3000, 3011), 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, *range(8910, 8916)]
PATHS = ["/api/inngest", "/x/inngest"]
"""Where discovery looks, as the official server does."""

_FIRST_RETRY = 0.5
"""Seconds between attempts while an app that was named has not answered yet."""

_TIMEOUT = aiohttp.ClientTimeout(total=10)


def register(engine: Engine, payload: Any) -> dict[str, Any]:
    """Take a registration in and return the answer to it. Raises `InvalidRegistrationError`."""
    if not isinstance(payload, dict) or not isinstance(payload.get("functions"), list):
        raise InvalidRegistrationError("the request body is not a registration")
    app_id = payload.get("appname") or payload.get("appName")
    if not app_id or not isinstance(app_id, str):
        raise InvalidRegistrationError("App ID required")
    checksum = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    app = engine.state.apps.get(app_id)
    modified = app is None or app.checksum != checksum
    if modified:
        functions = parse_functions(app_id, payload["functions"])
        language, _, version = str(payload.get("sdk") or "").partition(":")
        app = engine.state.apps[app_id] = App(
            id=app_id,
            url=str(payload.get("url") or ""),
            created_at=app.created_at if app else engine.clock.now(),
            sdk_language=language,
            sdk_version=version,
            framework=str(payload.get("framework") or ""),
            version=payload.get("appVersion"),
            checksum=checksum,
        )
        _replace_functions(engine, app_id, functions)
        log.info("app %s synced: %d functions at %s", app_id, len(functions), app.url)
    assert app is not None
    app.error = None
    return {"ok": True, "modified": modified, "sync_id": str(uuid.uuid4()), "app_id": app.uuid}


def _replace_functions(engine: Engine, app_id: str, functions: list[Function]) -> None:
    """Make these the app's functions; those that are gone are archived."""
    known = engine.state.functions
    kept = {function.id for function in functions}
    gone = [function for function in engine.state.active_functions(app_id) if function.id not in kept]
    for function in gone:
        known[function.id] = replace(function, archived=True)
    for function in functions:
        before = known.get(function.id)
        if before is not None:
            changed = before.config != function.config
            function.version = before.version + 1 if changed else before.version
        known[function.id] = function
    engine.functions_changed(functions, gone)


class Syncer:
    """Asks apps to register, again and again."""

    def __init__(self, engine: Engine, urls: Iterable[str], *, discovery: bool, poll: bool, interval: float) -> None:
        self._engine = engine
        self._urls = list(urls)
        self._discovery = discovery
        self._poll = poll
        self._interval = interval
        self._reached: set[str] = set()
        self._warned: set[str] = set()

    async def run(self, own_port: int) -> None:
        """Ask until the task is cancelled. Discovery leaves out `own_port`, on which the server itself listens."""
        while True:
            known = {app.url for app in self._engine.state.apps.values() if app.url}
            wanted = [url for url in self._urls if url not in self._reached]
            if self._poll:
                wanted = [*self._urls, *sorted(known - set(self._urls))]
            await asyncio.gather(*(self._ask(url) for url in wanted))
            if self._discovery:
                await self._discover(known, own_port)
            missing = any(url not in self._reached for url in self._urls)
            await asyncio.sleep(min(_FIRST_RETRY, self._interval) if missing else self._interval)

    async def _ask(self, url: str) -> None:
        """Send one PUT. An app that does not answer is asked again in the next round."""
        problem = await self._put(url)
        for app in self._engine.state.apps.values():
            if app.url == url:
                app.error = problem
        if problem is None:
            self._reached.add(url)
            self._warned.discard(url)
        elif url not in self._warned:
            self._warned.add(url)
            log.warning("app at %s: %s; trying again", url, problem)

    async def _put(self, url: str) -> str | None:
        """Ask the app at this address to register; return what went wrong, if anything did."""
        try:
            async with self._engine.client.session.put(url, timeout=_TIMEOUT) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"unreachable ({type(error).__name__})"
        if not response.ok:
            return f"HTTP {response.status}"
        if not response.headers.get("x-inngest-sdk"):
            return "no Inngest app answers there"
        if response.headers.get("x-inngest-sync-kind") == "in_band":
            try:
                self._register_in_band(url, body)
            except ValueError as error:
                return str(error)
        return None

    def _register_in_band(self, url: str, body: bytes) -> None:
        """Register what an app answered to the PUT, instead of sending a request of its own. Raises `ValueError`."""
        answer = json.loads(body)
        payload = {
            "appname": answer.get("app_id"),
            "appVersion": answer.get("app_version") or answer.get("appVersion"),
            "framework": answer.get("framework"),
            "functions": answer.get("functions"),
            "sdk": f"{answer.get('sdk_language')}:v{answer.get('sdk_version')}",
            "url": answer.get("url") or url,
        }
        register(self._engine, payload)

    async def _discover(self, known: set[str], own_port: int) -> None:
        """Ask what answers like an app on the usual ports, unless it is known."""
        ports = [port for port in PORTS if port != own_port]
        open_ports = await asyncio.gather(*(_is_open(port) for port in ports))
        found = [port for port, is_open in zip(ports, open_ports, strict=True) if is_open]
        for port in found:
            for path in PATHS:
                url = f"http://127.0.0.1:{port}{path}"
                aliases = {url, url.replace("127.0.0.1", "localhost")}
                if not aliases & (known | set(self._urls)) and await self._is_app(url):
                    await self._ask(url)
                    break

    async def _is_app(self, url: str) -> bool:
        try:
            async with self._engine.client.session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
                return bool(response.headers.get("x-inngest-sdk"))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


async def _is_open(port: int) -> bool:
    try:
        async with asyncio.timeout(0.5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
