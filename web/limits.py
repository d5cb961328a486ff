"""What a request may cost: bytes, seconds, and whatever work is done before anybody has proved anything.

The engine's SDK parses a body and sorts its JSON before it looks at the signature, because the signature is of the
sorted JSON: a stranger's 20 MB of numbers kept the process busy for 12 seconds (measured with inngest 0.5.19). So a
call without the form of a signature, or with an old one, ends here, and so does a large one that the engine has not
signed.
"""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response

import settings

T = TypeVar("T")
ENGINE = "/api/inngest"
# These read their bodies themselves, within limits of their own: an email with its attachments is large.
WEBHOOKS = "/webhooks/"
# The official server leaves out what makes a call larger than 4 MB, and lets the app fetch it.
ENGINE_MAX_BYTES = 8 * 2**20
# The engine sends sorted JSON, so of a large body nothing is parsed before its bytes were found to be signed. Only the
# few hundred bytes of a registration are not sorted: what is smaller than this is left to the SDK.
SDK_MAX_BYTES = 2**16
MAX_BYTES = 1_000_000
BODY_SECONDS = 10
LENGTH_MAX_DIGITS = 18
# How long the database may keep a caller waiting. The pool itself waits 10 seconds for a connection and 15 for a query,
# and then tries once more, which is right for the engine's steps and too long for a person or a load balancer.
DATABASE_SECONDS = 8
BETWEEN_REPORTS_SECONDS = 60
# Every call is signed when it is sent, and so is each later try of it: one that a frozen app read six minutes late was
# refused here and sent again 24 seconds later (measured). A signature therefore need not outlast a clock that is wrong;
# the official TypeScript SDK allows the same five minutes.
SIGNATURE_MAX_AGE_SECONDS = 300
# The engine's signature: when it signed, in seconds since 1970, and what.
SIGNATURE = re.compile(r"t=([0-9]{1,12})&s=([0-9a-f]{64})", re.ASCII)
logger = logging.getLogger("customer-support")
_abandoned: set[asyncio.Future[Any]] = set()


class Limits:
    """An ASGI application around the whole app. It reads a request's body, refuses what is too much, and passes it on.

    The status of a refusal is 400, 401, 408 or 413. With `signed`, what is sent to the engine's route needs a signature
    of its time; whether it is the right one is for the SDK to say.
    """

    def __init__(self, app: Any, *, signed: bool) -> None:
        self._app = app
        self._signed = signed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_exception_handler(NoFilesLeft())
        if scope["type"] != "http" or scope["path"].startswith(WEBHOOKS):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        to_engine_route = scope["path"] == ENGINE
        has_body = _declared(headers) > 0 or b"transfer-encoding" in headers
        must_be_signed = to_engine_route and self._signed and (has_body or scope["method"] != "GET")
        signature = SIGNATURE.fullmatch(headers.get(b"x-inngest-signature", "")) if must_be_signed else None
        if must_be_signed and (signature is None or _age_seconds(signature) > SIGNATURE_MAX_AGE_SECONDS):
            await _refused(scope, 401, "Unauthorized")(scope, receive, send)
            return
        body = await _body(scope, headers, receive, ENGINE_MAX_BYTES if to_engine_route else MAX_BYTES)
        if signature is not None and isinstance(body, bytes) and len(body) > SDK_MAX_BYTES:
            body = body if _has_signed(signature, body) else _refused(scope, 401, "Unauthorized")
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def _body(scope: Any, headers: Mapping[bytes, str], receive: Any, max_bytes: int) -> bytes | Response:
    """The whole body, or the answer to a request whose body is too large, too slow, or not whole."""
    too_large = f"The body has more than {max_bytes} bytes."
    if _declared(headers) > max_bytes:
        return _refused(scope, 413, too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # Half a form may say something else than the whole one, so nobody gets to read it.
                    return _refused(scope, 400, "The caller hung up before the body was complete.")
                more = message.get("more_body", False)
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    return _refused(scope, 413, too_large)
    except TimeoutError:
        return _refused(scope, 408, f"The body took longer than {BODY_SECONDS} seconds.")
    return bytes(body)


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the body once, and afterwards tells when the caller hangs up."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return messages.pop() if messages else await receive()

    return next_message


def _declared(headers: Mapping[bytes, str]) -> int:
    """The Content-Length in bytes; 0 without one. What is not a number, uvicorn has refused already."""
    length = headers.get(b"content-length", "")
    # Python refuses to convert thousands of digits, and the first ones are too many already.
    return int(length[:LENGTH_MAX_DIGITS]) if length.isdecimal() else 0


def _age_seconds(signature: re.Match[str]) -> float:
    """How long ago the engine signed, or how far ahead of ours its clock is."""
    return abs(time.time() - int(signature[1]))


def _has_signed(signature: re.Match[str], body: bytes) -> bool:
    """Whether the engine has signed exactly these bytes."""
    signed = body + signature[1].encode()
    expected = [hmac.digest(key, signed, "sha256").hex() for key in settings.signing_keys()]
    return any(hmac.compare_digest(signature[2], hexadecimal) for hexadecimal in expected)


def _refused(scope: Any, status: int, reason: str) -> Response:
    logger.warning("Refused at %s with %d: %s", scope["path"][:100], status, reason)
    # The connection is closed, because the rest of the body would still come through it.
    return JSONResponse({"message": reason}, status, {"Connection": "close"})


# Open files


class NoFilesLeft:
    """An event loop's exception handler. It leaves out most of what asyncio says of connections that it cannot accept.

    When a process has no file left to open, asyncio fails to accept 2,048 times a second, each with a traceback in the
    log (seen in Python 3.11). Those who were connected before then had no answer for ten seconds.
    """

    def __init__(self) -> None:
        self._said_at = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report one exception."""
        if context["message"] != "socket.accept() out of system resource":
            loop.default_exception_handler(context)
        elif loop.time() - self._said_at > BETWEEN_REPORTS_SECONDS:
            self._said_at = loop.time()
            logger.error("No file is left for another connection. A proxy has to hold back those who open too many.")


# Time limits


class Deadline:
    """An ASGI application around another. An answer that has not begun after 8 seconds is replaced by `too_late`'s."""

    def __init__(self, app: Any, too_late: Callable[[Request, Exception], Awaitable[Response]]) -> None:
        self._app = app
        self._too_late = too_late

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        begun, late = asyncio.Event(), False

        async def send_in_time(message: Any) -> None:
            if not late:
                begun.set()
                await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, send_in_time))
        try:
            await within(DATABASE_SECONDS, _either(work, begun))
        except TimeoutError as error:
            late = True
            _abandon(work)
            answer = await self._too_late(Request(scope), error)
            await answer(scope, receive, send)
            return
        except asyncio.CancelledError:
            _abandon(work)
            raise
        await work


async def _either(work: asyncio.Future[Any], begun: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(begun.wait())
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises TimeoutError after so many seconds, even if `work` cannot be cancelled by then.

    A query that is cancelled waits for the database to confirm it, and a frozen database confirms nothing. So such work
    is cancelled and left behind, and this does not wait for it as `asyncio.timeout` does.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError
    return task.result()


def _abandon(task: asyncio.Future[Any]) -> None:
    def forget(ended: asyncio.Future[Any]) -> None:
        _abandoned.discard(ended)
        if not ended.cancelled():
            # The event loop complains of an exception that nobody has looked at.
            ended.exception()

    # The event loop itself keeps only a weak reference.
    _abandoned.add(task)
    task.add_done_callback(forget)
    task.cancel()
