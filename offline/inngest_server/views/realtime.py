"""Realtime: what is published on a channel's topics reaches whoever subscribed, over websocket or server-sent events.

As on the official server nothing is stored, so a message without a subscriber is gone. A subscriber needs a token: a
JWT that names the topics and is good for a minute.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from ulid import ULID

from offline.inngest_server.core.state import ACCOUNT_ID, ENVIRONMENT_ID, iso
from offline.inngest_server.service import Service

TOKEN_SECONDS = 60.0
"""How long a token is good, on the server's clock."""

_KEEP_ALIVE = 30.0
"""Seconds of real time after which a silent stream of server-sent events gets an empty comment."""

_SSE_HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Content-Type"}

Topic = tuple[str, str, str]
"""Environment, channel and name."""


@dataclass(eq=False)
class _Subscription:
    topics: set[Topic]
    messages: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    """None is the last one."""


class Realtime:
    """The channels of one server."""

    def __init__(self, service: Service) -> None:
        self._clock = service.clock
        self._secret = secrets.token_bytes(32)
        self._tokens: dict[str, tuple[float, list[Topic]]] = {}
        self._subscriptions: list[_Subscription] = []

    def routes(self) -> list[BaseRoute]:
        """The routes below `/v1/realtime`."""
        return [
            Route("/v1/realtime/token", self._token, methods=["POST"]),
            Route("/v1/realtime/publish", self._publish, methods=["POST"]),
            Route("/v1/realtime/sse", self._events),
            WebSocketRoute("/v1/realtime/connect", self._connect),
        ]

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._subscriptions:
            subscription.messages.put_nowait(None)

    async def _token(self, request: Request) -> Response:
        try:
            wanted = json.loads(await request.body())
            topics = [(ENVIRONMENT_ID, str(topic["channel"]), str(topic["name"])) for topic in wanted]
        except (ValueError, TypeError, KeyError):
            return _refusal(400, "Invalid request: must provide a list of topics")
        now = self._clock.now()
        token = self._signed(now, topics)
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept[0] > now}
        self._tokens[token] = (now + TOKEN_SECONDS, topics)
        return JSONResponse({"jwt": token}, 201)

    def _signed(self, now: float, topics: list[Topic]) -> str:
        """A JWT with the claims of the official server's."""
        claims = {
            "iss": "rt.inngest.com",
            "sub": ACCOUNT_ID,
            "exp": int(now + TOKEN_SECONDS),
            "iat": int(now),
            "jti": str(ULID()),
            "env": ENVIRONMENT_ID,
            "topics": [
                {"kind": "run", "env_id": env, "channel": channel, "name": name} for env, channel, name in topics
            ],
            "publish": False,
        }
        signed = b".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (signed + b"." + _base64(hmac.digest(self._secret, signed, "sha256"))).decode()

    async def _publish(self, request: Request) -> Response:
        if self._topics(_key(request)) is not None:
            return _refusal(401, "Not authenticated for publishing")
        if request.headers.get("content-type") == "text/stream":
            stream_id = str(ULID()).lower()
            self._send(request, "datastream-start", stream_id)
            async for part in request.stream():
                if part:
                    chunk = {"kind": "chunk", "stream_id": stream_id, "data": part.decode(errors="replace")}
                    self._deliver(request, chunk)
            self._send(request, "datastream-end", stream_id)
            return Response()
        body = await request.body()
        try:
            data = json.loads(body)
        except ValueError:
            data = body.decode(errors="replace")
        self._send(request, "data", data)
        return Response()

    def _send(self, request: Request, kind: str, data: Any) -> None:
        query = request.query_params
        message = {"kind": kind, "data": data}
        if query.get("metadata"):
            message["metadata"] = json.loads(query["metadata"])
        message |= {"created_at": iso(self._clock.now()), "channel": query.get("channel", "")}
        message |= {"env_id": ENVIRONMENT_ID, "topic": query.get("topic", "")}
        if query.get("run_id"):
            message["run_id"] = query["run_id"]
        self._deliver(request, message)

    def _deliver(self, request: Request, message: dict[str, Any]) -> None:
        query = request.query_params
        topic = (ENVIRONMENT_ID, query.get("channel", ""), query.get("topic", ""))
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        for subscription in self._subscriptions:
            if topic in subscription.topics:
                subscription.messages.put_nowait(text)

    async def _events(self, request: Request) -> Response:
        topics = self._topics(_key(request))
        if topics is None:
            return _refusal(401, "Not authenticated")
        subscription = self._subscribe(topics)

        async def body() -> AsyncIterator[str]:
            try:
                while True:
                    try:
                        async with asyncio.timeout(_KEEP_ALIVE):
                            message = await subscription.messages.get()
                    except TimeoutError:
                        yield ":\n\n"
                        continue
                    if message is None:
                        return
                    yield f"data: {message}\n\n"
            finally:
                self._subscriptions.remove(subscription)

        return StreamingResponse(body(), media_type="text/event-stream", headers=_SSE_HEADERS)

    async def _connect(self, socket: WebSocket) -> None:
        topics = self._topics(_key(socket))
        if topics is None:
            await socket.send_denial_response(_refusal(401, "Not authenticated"))
            return
        await socket.accept()
        subscription = self._subscribe(topics)
        writing = asyncio.create_task(_write(socket, subscription))
        try:
            while True:
                self._asked(subscription, await socket.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._subscriptions.remove(subscription)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _asked(self, subscription: _Subscription, text: str) -> None:
        """Add or drop topics, as the subscriber asks; whatever else it sends is overlooked."""
        try:
            message = json.loads(text)
            if message["kind"] == "sub":
                subscription.topics |= set(self._topics(message["data"]) or ())
            elif message["kind"] == "unsub":
                subscription.topics -= {(t.get("env_id", ""), t["channel"], t["name"]) for t in message["data"]}
        except (ValueError, TypeError, KeyError, AttributeError):
            return

    def _subscribe(self, topics: list[Topic]) -> _Subscription:
        subscription = _Subscription(set(topics))
        self._subscriptions.append(subscription)
        return subscription

    def _topics(self, token: str) -> list[Topic] | None:
        """The topics that a token allows; None for a token that is unknown or too old."""
        found = self._tokens.get(token)
        return found[1] if found is not None and found[0] > self._clock.now() else None


async def _write(socket: WebSocket, subscription: _Subscription) -> None:
    while (message := await subscription.messages.get()) is not None:
        await socket.send_text(message)
    await socket.close(1001, "closing")


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _key(connection: HTTPConnection) -> str:
    """The token of a request. A client that cannot set headers sends it as a parameter."""
    header = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return header or connection.query_params.get("token", "")


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": message, "data": None, "status": status}, status)
