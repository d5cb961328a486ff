"""Connect: workers without an inbound port. They dial in over a websocket, register and are sent their steps there.

`POST /v0/connect/start` tells a worker where the gateway is, `/v0/connect` is the gateway, `POST /v0/connect/flush`
takes replies whose connection was lost. Messages are the SDK's own protobuf (`connect.proto` in the inngest package).
A request is leased to its worker. When the connection ends, the lease runs on (the worker may come back and extend
it, or flush its reply); when the lease ends too, the attempt has failed and is retried, on whichever worker is there.
While no worker is connected, what is for it waits and costs no attempt.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError, Message
from inngest.connect._internal import connect_pb2 as pb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from ulid import ULID

from offline.inngest_server.core import sync
from offline.inngest_server.core.app_client import Answered, Unanswered
from offline.inngest_server.core.engine import Engine
from offline.inngest_server.core.live import Item
from offline.inngest_server.core.scheduler import Timer
from offline.inngest_server.core.state import ACCOUNT_ID, ENVIRONMENT_ID, stable_uuid

log = logging.getLogger("inngest_server")

URL = "wss://connect"
"""What the SDK registers as the address of a function served this way."""

SUBPROTOCOL = "v0.connect.inngest.com"
LEASE = 120.0
"""Seconds of the server's time for which a request belongs to its worker; each extension begins them anew."""
GRACE = 5.0
HEARTBEAT_INTERVAL, EXTEND_INTERVAL = "10s", "30s"

_HELLO_TIMEOUT = 5.0
_SILENCE = 60.0
"""Seconds of real time without a message (heartbeats are messages) after which a connection counts as dead."""

_PROTOBUF = "application/octet-stream"
_POLICY_VIOLATION, _GOING_AWAY = 1008, 1001
_STATUS = {pb.SDKResponseStatus.DONE: 200, pb.SDKResponseStatus.NOT_COMPLETED: 206, pb.SDKResponseStatus.ERROR: 500}
Kind = pb.GatewayMessageType


@dataclass(eq=False)
class _Worker:
    """One connection."""

    socket: WebSocket
    id: str
    instance_id: str
    functions: set[str]
    limit: int
    """Requests it takes at once; 0 for any number."""
    ready: bool
    requests: set[str] = field(default_factory=set)

    async def send(self, kind: pb.GatewayMessageType, message: Message | None = None) -> None:
        payload = message.SerializeToString() if message else b""
        await self.socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())


@dataclass(eq=False)
class _Pending:
    """One request that a worker has and has not answered."""

    task: asyncio.Task[None]
    reply: asyncio.Future[pb.SDKResponse | None]
    """None: the lease ended."""
    worker: _Worker
    leased_until: float
    timer: Timer | None = None


class Gateway:
    """All connected workers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._workers: list[_Worker] = []
        self._pending: dict[str, _Pending] = {}
        self._freed = asyncio.Event()
        engine.client.connected = self.call
        engine.executor.queue.reachable = self._reachable

    def routes(self) -> list[BaseRoute]:
        """Where workers begin, connect, and leave what they could not deliver."""
        return [
            Route("/v0/connect/start", self._start, methods=["POST"]),
            Route("/v0/connect/flush", self._flush, methods=["POST"]),
            Route("/v0/connect/envs/{env}/conns", self._connections),
            WebSocketRoute("/v0/connect", self._serve),
        ]

    @property
    def workers(self) -> list[str]:
        """The instance ids of the connected workers, oldest first."""
        return [worker.instance_id for worker in self._workers]

    async def close(self) -> None:
        """Tell the workers to look for another gateway."""
        for worker in list(self._workers):
            try:
                await worker.send(Kind.GATEWAY_CLOSING)
                await worker.socket.close(_GOING_AWAY)
            except (RuntimeError, WebSocketDisconnect):
                continue

    async def call(self, item: Item, request_id: str, body: bytes) -> Answered | Unanswered:
        """Have a worker answer a request: status, headers and body as over HTTP, or why there is no answer."""
        function = item.live.run.function
        worker = await self._choose(function.id)
        if worker is None:
            return Unanswered("connect_no_healthy_connection", "Could not find a healthy connection")
        task = asyncio.current_task()
        assert task is not None
        reply: asyncio.Future[pb.SDKResponse | None] = asyncio.get_running_loop().create_future()
        pending = _Pending(task, reply, worker, self._lease_end())
        self._pending[request_id] = pending
        worker.requests.add(request_id)
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
            lease_id=str(ULID.from_timestamp(pending.leased_until)),
            job_id=item.job_id,
        )
        try:
            try:
                await worker.send(Kind.GATEWAY_EXECUTOR_REQUEST, request)
            except (RuntimeError, WebSocketDisconnect):
                self._lost(request_id, pending)
            response = await pending.reply
        finally:
            del self._pending[request_id]
            if pending.timer:
                pending.timer.cancel()
            pending.worker.requests.discard(request_id)
            self._freed.set()
        if response is None:
            return Unanswered("connect_worker_stopped_responding", "The worker stopped responding to the request.")
        return _answered(response)

    async def _choose(self, function_id: str) -> _Worker | None:
        """The least busy worker that has the function, once one has room; None when none is connected."""
        while True:
            able = self._able(function_id)
            if not able:
                return None
            free = [worker for worker in able if not worker.limit or len(worker.requests) < worker.limit]
            if free:
                return min(free, key=lambda worker: len(worker.requests))
            self._freed.clear()
            await self._freed.wait()

    def _able(self, function_id: str) -> list[_Worker]:
        return [worker for worker in self._workers if worker.ready and function_id in worker.functions]

    def _reachable(self, item: Item) -> bool:
        function = item.live.run.function
        return function.url != URL or bool(self._able(function.id))

    def _lease_end(self) -> float:
        return self._engine.clock.now() + LEASE

    def _arrived(self) -> None:
        self._freed.set()
        self._engine.executor.queue.reconsider()

    # A request that no connected worker has is not in flight, for `advance` must be able to end its lease.

    def _lost(self, request_id: str, pending: _Pending) -> None:
        if pending.timer is not None or pending.reply.done():
            return
        scheduler = self._engine.scheduler

        def expire() -> None:
            log.warning("connect: request %s was lost with its worker", request_id)
            self._settle(pending, None)

        pending.timer = scheduler.call_at(pending.leased_until + GRACE, expire)
        scheduler.park(pending.task)

    def _found(self, pending: _Pending) -> None:
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
            self._engine.scheduler.unpark(pending.task)

    def _settle(self, pending: _Pending, response: pb.SDKResponse | None) -> None:
        self._found(pending)
        if not pending.reply.done():
            pending.reply.set_result(response)

    # What workers send

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

    async def _connections(self, _: Request) -> Response:
        shown = [{"id": w.id, "instance_id": w.instance_id, "status": int(w.ready)} for w in self._workers]
        return JSONResponse({"data": shown})

    async def _flush(self, request: Request) -> Response:
        try:
            response = pb.SDKResponse.FromString(await request.body())
        except DecodeError:
            return Response("could not unmarshal request", 400)
        pending = self._pending.get(response.request_id)
        if pending is not None:
            self._settle(pending, response)
        return Response(pb.FlushResponse(request_id=response.request_id).SerializeToString(), media_type=_PROTOBUF)

    async def _serve(self, socket: WebSocket) -> None:
        wanted = socket.scope.get("subprotocols") or []
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in wanted else None)
        try:
            await socket.send_bytes(pb.ConnectMessage(kind=Kind.GATEWAY_HELLO).SerializeToString())
            worker = await self._handshake(socket)
        except (WebSocketDisconnect, RuntimeError):
            return
        except (TimeoutError, DecodeError, ValueError, KeyError) as error:
            log.warning("connect: a worker was refused: %s", error or type(error).__name__)
            await socket.close(_POLICY_VIOLATION, "connect_worker_hello_invalid_payload")
            return
        self._workers.append(worker)
        try:
            ready = pb.GatewayConnectionReadyData(
                heartbeat_interval=HEARTBEAT_INTERVAL, extend_lease_interval=EXTEND_INTERVAL
            )
            await worker.send(Kind.GATEWAY_CONNECTION_READY, ready)
            self._arrived()
            while True:
                async with asyncio.timeout(_SILENCE):
                    message = await _receive(socket)
                await self._handle(worker, message)
        except (WebSocketDisconnect, RuntimeError, TimeoutError, DecodeError):
            pass
        finally:
            self._workers.remove(worker)
            self._freed.set()
            for request_id in worker.requests:
                self._lost(request_id, self._pending[request_id])

    async def _handshake(self, socket: WebSocket) -> _Worker:
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
            sync.register(self._engine, payload)
            functions |= {config["id"] for config in configs}
        ready = not hello.worker_manual_readiness_ack
        return _Worker(socket, hello.connection_id, hello.instance_id, functions, hello.max_worker_concurrency, ready)

    async def _handle(self, worker: _Worker, message: pb.ConnectMessage) -> None:
        match message.kind:
            case Kind.WORKER_HEARTBEAT:
                await worker.send(Kind.GATEWAY_HEARTBEAT)
            case Kind.WORKER_READY:
                worker.ready = True
                self._arrived()
            case Kind.WORKER_PAUSE:
                worker.ready = False
                self._freed.set()
            case Kind.WORKER_REQUEST_EXTEND_LEASE:
                await self._extend(worker, pb.WorkerRequestExtendLeaseData.FromString(message.payload))
            case Kind.WORKER_REPLY:
                response = pb.SDKResponse.FromString(message.payload)
                if (pending := self._pending.get(response.request_id)) is not None:
                    self._settle(pending, response)
                await worker.send(Kind.WORKER_REPLY_ACK, pb.WorkerReplyAckData(request_id=response.request_id))

    async def _extend(self, worker: _Worker, data: pb.WorkerRequestExtendLeaseData) -> None:
        """A new lease; none for a request that is no longer this worker's, which then stops working on it."""
        answer = pb.WorkerRequestExtendLeaseAckData(
            request_id=data.request_id,
            account_id=data.account_id,
            env_id=data.env_id,
            app_id=data.app_id,
            function_slug=data.function_slug,
        )
        pending = self._pending.get(data.request_id)
        if pending is not None and not pending.reply.done():
            pending.worker.requests.discard(data.request_id)
            pending.worker = worker
            worker.requests.add(data.request_id)
            self._found(pending)
            pending.leased_until = self._lease_end()
            answer.new_lease_id = str(ULID.from_timestamp(pending.leased_until))
        await worker.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answer)


async def _receive(socket: WebSocket) -> pb.ConnectMessage:
    return pb.ConnectMessage.FromString(await socket.receive_bytes())


def _answered(response: pb.SDKResponse) -> Answered:
    headers = {"x-inngest-sdk": response.sdk_version or "connect"}
    headers["x-inngest-req-version"] = str(response.request_version)
    if response.no_retry:
        headers["x-inngest-no-retry"] = "true"
    if response.retry_after:
        headers["retry-after"] = response.retry_after
    return _STATUS[response.status], headers, response.body
