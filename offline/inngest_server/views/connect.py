"""Connect: the websocket by which workers without an inbound port dial in.

`POST /v0/connect/start` tells a worker where the gateway is, `/v0/connect` is the gateway, `POST /v0/connect/flush`
takes replies whose connection was lost. Messages are the SDK's own protobuf (`connect.proto` in the inngest package).
Which worker gets a request is decided in `core/workers.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message
from inngest.connect._internal import connect_pb2 as pb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from ulid import ULID

from offline.inngest_server.core.live import Item
from offline.inngest_server.core.state import ACCOUNT_ID, ENVIRONMENT_ID, stable_uuid
from offline.inngest_server.core.workers import Answered, Worker
from offline.inngest_server.service import Service

log = logging.getLogger("inngest_server")

SUBPROTOCOL = "v0.connect.inngest.com"
HEARTBEAT_INTERVAL = "10s"
EXTEND_LEASE_INTERVAL = "30s"

_HELLO_TIMEOUT = 5.0
"""Seconds of real time that a worker has to say who it is."""

_SILENCE = 60.0
"""Seconds of real time without a message (heartbeats are messages) after which a connection counts as dead."""

_PROTOBUF = "application/octet-stream"
_POLICY_VIOLATION = 1008
_GOING_AWAY = 1001
_STATUS = {pb.SDKResponseStatus.DONE: 200, pb.SDKResponseStatus.NOT_COMPLETED: 206, pb.SDKResponseStatus.ERROR: 500}
Kind = pb.GatewayMessageType


@dataclass(eq=False)
class _Connection(Worker):
    """A worker at the other end of a websocket."""

    id: str
    socket: WebSocket

    async def send(self, kind: pb.GatewayMessageType, message: Message | None = None) -> None:
        payload = message.SerializeToString() if message else b""
        await self.socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())

    async def ask(self, item: Item, request_id: str, body: bytes, leased_until: float) -> None:
        function = item.live.run.function
        request = pb.GatewayExecutorRequestData(
            request_id=request_id,
            account_id=ACCOUNT_ID,
            env_id=ENVIRONMENT_ID,
            app_id=stable_uuid(function.app_id),
            app_name=function.app_id,
            function_id=function.uuid,
            function_slug=function.id,
            step_id=item.target or "step",
            request_payload=body,
            system_trace_ctx=b"{}",
            user_trace_ctx=b"{}",
            run_id=item.live.run.id,
            lease_id=str(ULID.from_timestamp(leased_until)),
            job_id=item.job_id,
        )
        try:
            await self.send(Kind.GATEWAY_EXECUTOR_REQUEST, request)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise ConnectionError from error


class Gateway:
    """Where workers begin, connect, and leave what they could not deliver."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._workers = service.workers
        self._connections: list[_Connection] = []

    def routes(self) -> list[BaseRoute]:
        """The routes below `/v0/connect`."""
        return [
            Route("/v0/connect/start", self._start, methods=["POST"]),
            Route("/v0/connect/flush", self._flush, methods=["POST"]),
            Route("/v0/connect/envs/{env}/conns", self._list),
            WebSocketRoute("/v0/connect", self._serve),
        ]

    async def close(self) -> None:
        """Tell the workers to look for another gateway."""
        for connection in list(self._connections):
            try:
                await connection.send(Kind.GATEWAY_CLOSING)
                await connection.socket.close(_GOING_AWAY)
            except (RuntimeError, WebSocketDisconnect):
                continue

    async def _start(self, request: Request) -> Response:
        body = await request.body()
        try:
            pb.StartRequest.FromString(body)
        except DecodeError:
            return Response("could not unmarshal request", 400)
        host = request.headers.get("host", "")
        answer = pb.StartResponse(
            connection_id=str(ULID()), gateway_endpoint=f"ws://{host}/v0/connect", gateway_group="stand-in"
        )
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)

    async def _list(self, _: Request) -> Response:
        shown = [{"id": c.id, "instance_id": c.instance_id, "status": int(c.ready)} for c in self._connections]
        return JSONResponse({"data": shown})

    async def _flush(self, request: Request) -> Response:
        try:
            response = pb.SDKResponse.FromString(await request.body())
        except DecodeError:
            return Response("could not unmarshal request", 400)
        self._workers.answered(response.request_id, _answer(response))
        return Response(pb.FlushResponse(request_id=response.request_id).SerializeToString(), media_type=_PROTOBUF)

    async def _serve(self, socket: WebSocket) -> None:
        wanted = socket.scope.get("subprotocols") or []
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in wanted else None)
        try:
            await socket.send_bytes(pb.ConnectMessage(kind=Kind.GATEWAY_HELLO).SerializeToString())
            connection = await self._handshake(socket)
        except (WebSocketDisconnect, RuntimeError):
            return
        except (TimeoutError, DecodeError, ValueError, KeyError) as error:
            log.warning("connect: a worker was refused: %s", error or type(error).__name__)
            await socket.close(_POLICY_VIOLATION, "connect_worker_hello_invalid_payload")
            return
        self._connections.append(connection)
        self._workers.join(connection)
        try:
            ready = pb.GatewayConnectionReadyData(
                heartbeat_interval=HEARTBEAT_INTERVAL, extend_lease_interval=EXTEND_LEASE_INTERVAL
            )
            await connection.send(Kind.GATEWAY_CONNECTION_READY, ready)
            if connection.ready:
                self._workers.became_ready(connection)
            while True:
                async with asyncio.timeout(_SILENCE):
                    message = await _receive(socket)
                await self._handle(connection, message)
        except (WebSocketDisconnect, RuntimeError, TimeoutError, DecodeError):
            pass
        finally:
            self._connections.remove(connection)
            self._workers.leave(connection)

    async def _handshake(self, socket: WebSocket) -> _Connection:
        """Take in what a worker says of itself, and register its apps. Raises what `_serve` refuses."""
        async with asyncio.timeout(_HELLO_TIMEOUT):
            message = await _receive(socket)
        if message.kind != Kind.WORKER_CONNECT:
            raise ValueError("expected WORKER_CONNECT")
        hello = pb.WorkerConnectRequestData.FromString(message.payload)
        if not hello.apps or not hello.instance_id:
            raise ValueError("a worker names its instance and at least one app")
        functions: set[str] = set()
        for app in hello.apps:
            configs = json.loads(app.functions)
            payload = {
                "appname": app.app_name,
                "appVersion": app.app_version or None,
                "framework": "connect",
                "functions": configs,
                "sdk": f"{hello.sdk_language}:v{hello.sdk_version}",
                "url": "",
            }
            self._service.register(payload)
            functions |= {config["id"] for config in configs}
        return _Connection(
            instance_id=hello.instance_id,
            functions=functions,
            limit=hello.max_worker_concurrency,
            ready=not hello.worker_manual_readiness_ack,
            id=hello.connection_id,
            socket=socket,
        )

    async def _handle(self, connection: _Connection, message: pb.ConnectMessage) -> None:
        if message.kind == Kind.WORKER_HEARTBEAT:
            await connection.send(Kind.GATEWAY_HEARTBEAT)
        elif message.kind == Kind.WORKER_READY:
            self._workers.became_ready(connection)
        elif message.kind == Kind.WORKER_PAUSE:
            self._workers.pause(connection)
        elif message.kind == Kind.WORKER_REQUEST_EXTEND_LEASE:
            await self._extend(connection, pb.WorkerRequestExtendLeaseData.FromString(message.payload))
        elif message.kind == Kind.WORKER_REPLY:
            response = pb.SDKResponse.FromString(message.payload)
            self._workers.answered(response.request_id, _answer(response))
            await connection.send(Kind.WORKER_REPLY_ACK, pb.WorkerReplyAckData(request_id=response.request_id))

    async def _extend(self, connection: _Connection, data: pb.WorkerRequestExtendLeaseData) -> None:
        """Answer with a new lease; without one where nobody waits for the request: its worker then stops."""
        answer = pb.WorkerRequestExtendLeaseAckData(
            request_id=data.request_id,
            account_id=data.account_id,
            env_id=data.env_id,
            app_id=data.app_id,
            function_slug=data.function_slug,
        )
        leased_until = self._workers.extend(data.request_id, connection)
        if leased_until is not None:
            answer.new_lease_id = str(ULID.from_timestamp(leased_until))
        await connection.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answer)


async def _receive(socket: WebSocket) -> pb.ConnectMessage:
    return pb.ConnectMessage.FromString(await socket.receive_bytes())


def _answer(response: pb.SDKResponse) -> Answered:
    headers = {"x-inngest-sdk": response.sdk_version or "connect"}
    headers["x-inngest-req-version"] = str(response.request_version)
    if response.no_retry:
        headers["x-inngest-no-retry"] = "true"
    if response.retry_after:
        headers["retry-after"] = response.retry_after
    return Answered(_STATUS.get(response.status, 500), headers, response.body)
