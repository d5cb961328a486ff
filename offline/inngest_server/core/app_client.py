"""Makes one request to an app and says what came back, in the terms of the engine.

The request's shape and every way to read an answer are those recorded between the official server and the Python SDK.
What is no answer of an SDK (a refused connection, a proxy's error page, broken JSON) is a failed attempt, and by itself
never the end of a run.
"""

from __future__ import annotations

import base64
import functools
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from ulid import ULID

from .clock import Clock
from .go_json import dumps, loads
from .live import Item
from .state import Event, Json, error_of
from .workers import URL as WORKER_URL
from .workers import Answered, Workers

log = logging.getLogger("inngest_server")

MAX_BODY = 4 * 1024 * 1024
"""Bytes above which the app is told to fetch events and steps itself (`use_api`)."""

TIMEOUT = 2 * 60 * 60.0
"""Seconds after which a request counts as failed, as on the official server."""

_KEEP_ALIVE = 2.0
"""Seconds for which an idle connection is kept. App servers keep theirs longer: one that closes just as a request is
sent costs an attempt."""

_MIN_RETRY = 1.0
_MAX_RETRY = 86_400.0
"""Seconds between which a Retry-After is taken at its word."""


@dataclass(slots=True)
class Reply:
    """What an app answered: steps (`ops`), an `error`, or, when both are None, what the function returned."""

    status: int = 0
    """0 when there was no answer."""
    ops: list[dict[str, Any]] | None = None
    """The steps that a 206 reports."""
    output: Json = None
    """What the function returned, or the body that came with an error."""
    error: dict[str, Any] | None = None
    """Why the request failed as a whole: `error`, `name`, `message` and perhaps `stack`."""
    no_retry: bool = False
    """Whether the app asked that the same is not tried again."""
    retry_at: float | None = None
    """When the app asked to be tried again, on the server's clock."""
    request_version: int = -1
    """The version of the protocol that the SDK speaks; -1 when it did not say."""


class AppClient:
    """One connection pool for all apps that are served over HTTP, and the workers that dialled in."""

    def __init__(self, clock: Clock, workers: Workers) -> None:
        self._clock = clock
        self._workers = workers
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connection pool. It is made on first use, because it belongs to the running event loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE)
            # aiohttp has no public way to replace what reads the answers.
            reader: type[ResponseHandler] = _Answer
            connector._factory = functools.partial(reader, loop=connector._loop)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT, connect=10),
                headers={"User-Agent": "Inngest"},
                auto_decompress=True,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def can_reach(self, item: Item) -> bool:
        """Whether anybody could answer now: False only for a function that workers serve while none is connected."""
        function = item.live.run.function
        return function.url != WORKER_URL or self._workers.can_serve(function)

    async def call(self, item: Item) -> Reply:
        """Ask the app for the run's next step, or for the item's one step. Nothing that an app does raises."""
        request_id = str(ULID.from_timestamp(self._clock.now()))
        body = request_body(item, request_id)
        function = item.live.run.function
        if function.url == WORKER_URL:
            answer = await self._workers.call(item, request_id, body)
            if isinstance(answer, Answered):
                return self._read(*answer)
            error = error_of(answer.message, answer.name) | {"error": f"{answer.name}: {answer.message}"}
            return Reply(output=error, error=error)
        step_id = item.target or "step"
        headers = {
            "Content-Type": "application/json",
            "X-Inngest-Generation-Id": str(item.generation),
            "X-Inngest-Job-Id": item.job_id,
            "X-Inngest-Req-Version": str(item.live.request_version),
            "X-Inngest-Step-Id": step_id,
            "X-Request-Id": request_id,
            "X-Run-Id": item.live.run.id,
        }
        try:
            async with self.session.post(
                function.url, params={"fnId": function.id, "stepId": step_id}, data=body, headers=headers
            ) as response:
                raw = await response.read()
                return self._read(response.status, {k.lower(): v for k, v in response.headers.items()}, raw)
        except aiohttp.ClientConnectorError:
            return _failed("Unable to reach SDK URL")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return _failed(f"Unable to reach SDK URL: {type(error).__name__}")

    def _read(self, status: int, headers: dict[str, str], raw: bytes) -> Reply:
        if status == HTTPStatus.CREATED:
            try:
                status, headers, raw = _unwrap_stream(headers, raw)
            except ValueError as error:
                return _failed(f"error parsing stream: {error}", status)
        reply = Reply(
            status=status,
            no_retry=headers.get("x-inngest-no-retry") == "true",
            retry_at=self._retry_at(headers.get("retry-after")),
            request_version=_int(headers.get("x-inngest-req-version"), -1),
        )
        is_sdk = bool(headers.get("x-inngest-sdk"))
        if status == HTTPStatus.PARTIAL_CONTENT:
            try:
                reply.ops = _ops(raw)
            except ValueError as error:
                return _failed(str(error), status)
            return reply if is_sdk else _failed(_NOT_SDK, status)
        try:
            reply.output = loads(raw)
        except ValueError:
            reply.output = raw.decode(errors="replace")
        if not is_sdk:
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return _failed(_NOT_SDK, status)
            message = f"Your server returned HTTP {status} before the SDK responded."
            reply.error = reply.output = error_of(message, "Server returned a fatal error")
            return reply
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or reply.no_retry:
            reason = "NonRetriableError" if reply.no_retry else f"invalid status code: {status}"
            reply.error = _standard_error(reason, reply.output)
        return reply

    def _retry_at(self, value: str | None) -> float | None:
        """The time that a Retry-After header names: seconds from now, or a date on the host's clock."""
        if not value:
            return None
        now = self._clock.now()
        try:
            when = now + int(value) if value.isdigit() else self._clock.from_host(_date(value))
        except ValueError:
            return None
        return min(max(when, now + _MIN_RETRY), now + _MAX_RETRY)


class _Answer(ResponseHandler):
    """An answer as the official server reads it: in HTTP/1.0 there are no chunks, whatever a header says.

    A proxy that speaks HTTP/1.0 may pass on the header of an app that streams, and the body without chunks.
    """

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.0 "):
            head, end, body = data.partition(b"\r\n\r\n")
            data = re.sub(rb"(?i)\r\ntransfer-encoding:[^\r\n]*", b"", head) + end + body
        super().data_received(data)


_NOT_SDK = "The response did not come from an Inngest SDK"


def request_body(item: Item, request_id: str) -> bytes:
    """The JSON that an app gets, with its keys in the recorded order."""
    live, run = item.live, item.live.run
    payloads = [event.payload() for event in run.events]
    context = {
        "attempt": item.attempt,
        "disable_immediate_execution": live.plan_only,
        "env": "",
        "fn_id": run.function.uuid,
        "generation_id": item.generation,
        "job_id": item.job_id,
        "max_attempts": run.function.max_attempts,
        "qi_id": base64.b64encode(f"{item.job_id}::default".encode()).decode(),
        "request_id": request_id,
        "run_id": run.id,
        "stack": {"current": len(run.stack), "stack": run.stack},
        "step_id": "step",
        "use_api": False,
    }
    body = {
        "ctx": context,
        "defers": {},
        "event": payloads[0],
        "events": payloads,
        "steps": run.memos,
        "use_api": False,
        "version": live.request_version,
    }
    encoded = dumps(body)
    if len(encoded) > MAX_BODY:
        context["use_api"] = True
        encoded = dumps({**body, "events": [], "steps": {}, "use_api": True})
    return encoded


def event_without_user(event: Event) -> dict[str, Any]:
    """An event as it stands in `inngest/function.*` events."""
    return {key: value for key, value in event.payload().items() if key != "user"}


def _ops(raw: bytes) -> list[dict[str, Any]]:
    if not raw.strip():
        raise ValueError("no response data")
    try:
        ops = loads(raw)
    except ValueError as error:
        raise ValueError(f"error reading generator opcode response: {error}") from error
    if isinstance(ops, dict):
        ops = [ops]
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise ValueError("error reading generator opcode response: expected JSON object or array")
    return ops


def _unwrap_stream(headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a streamed answer, all of which a 201 wraps. Raises `ValueError`."""
    stream = loads(raw.strip())
    if not isinstance(stream, dict) or not isinstance(stream.get("status"), int):
        raise ValueError("expected an object with a status")
    body = stream.get("body")
    inner = body.encode() if isinstance(body, str) else dumps(body)
    more = {str(k).lower(): str(v) for k, v in (stream.get("headers") or {}).items()}
    return stream["status"], {**headers, **more}, inner


def _failed(message: str, status: int = 0) -> Reply:
    error = error_of(message)
    return Reply(status, output=error, error=error)


def _standard_error(reason: str, output: Json) -> dict[str, Any]:
    error: dict[str, Any] = {"error": reason, "name": "Error", "message": "Function execution error"}
    if isinstance(output, dict):
        error |= {k: output[k] for k in ("name", "message", "stack") if isinstance(output.get(k), str)}
    elif isinstance(output, str) and output:
        error["message"] = output
    return error


def _date(value: str) -> float:
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return parsedate_to_datetime(value).timestamp()


def _int(value: str | None, default: int) -> int:
    return int(value) if value and value.lstrip("-").isdigit() else default
