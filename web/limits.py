"""What a request may cost before anybody has proved anything: bytes, seconds, and the engine's signature.

The engine's SDK parses a body and sorts its JSON before it looks at the signature, because the signature is of the
sorted JSON: a stranger's 20 MB of numbers kept the process busy for 12 seconds (measured with inngest 0.5.19). So a
call without the form of a signature, with an old one, or with more JSON than the engine sends, ends here.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse, Response

ENGINE = "/api/inngest"
# These read their bodies themselves, within limits of their own: an email with its attachments is large.
WEBHOOKS = "/webhooks/"
# The official server leaves out what makes a call larger than 4 MB, and lets the app fetch it.
ENGINE_MAX_BYTES = 8 * 2**20
# Sorting costs about 1 second per million values, and a comma stands between any two of them.
ENGINE_MAX_COMMAS = 500_000
MAX_BYTES = 1_000_000
BODY_SECONDS = 10
LENGTH_MAX_DIGITS = 18
# Every call is signed when it is sent, and so is each later try of it. A signature therefore need not outlast a clock
# that is wrong; the official TypeScript SDK allows the same five minutes.
SIGNATURE_MAX_AGE_SECONDS = 300
SIGNATURE = re.compile(r"t=([0-9]{1,12})&s=[0-9a-f]{64}", re.ASCII)
logger = logging.getLogger("customer-support")


class Limits:
    """An ASGI application around the whole app. It reads a request's body, refuses what is too much, and passes it on.

    The status of a refusal is 401, 408 or 413. With `signed`, whatever is sent to the engine's route needs a signature
    of its time; whether it is the right one is for the SDK to say.
    """

    def __init__(self, app: Any, *, signed: bool) -> None:
        self._app = app
        self._signed = signed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(WEBHOOKS):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        to_engine_route = scope["path"] == ENGINE
        has_body = _declared(headers) > 0 or b"transfer-encoding" in headers
        must_be_signed = to_engine_route and self._signed and (has_body or scope["method"] != "GET")
        if must_be_signed and not _is_signed(headers.get(b"x-inngest-signature", "")):
            await _refused(scope, 401, "Unauthorized")(scope, receive, send)
            return
        body = await _body(scope, headers, receive, ENGINE_MAX_BYTES if to_engine_route else MAX_BYTES)
        if isinstance(body, bytes) and to_engine_route and body.count(b",") > ENGINE_MAX_COMMAS:
            body = _refused(scope, 413, "The body has too many parts.")
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def _body(scope: Any, headers: Mapping[bytes, str], receive: Any, max_bytes: int) -> bytes | Response:
    """The whole body, or the answer to a request whose body is too large or too slow."""
    too_large = f"The body has more than {max_bytes} bytes."
    if _declared(headers) > max_bytes:
        return _refused(scope, 413, too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                # Somebody who hung up is answered into the void.
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


def _is_signed(signature: str) -> bool:
    """Whether it has the form of the engine's signature, `t=<unix seconds>&s=<hex>`, and is of the last minutes."""
    match = SIGNATURE.fullmatch(signature)
    return match is not None and abs(time.time() - int(match[1])) <= SIGNATURE_MAX_AGE_SECONDS


def _refused(scope: Any, status: int, reason: str) -> Response:
    logger.warning("Refused at %s with %d: %s", scope["path"][:100], status, reason)
    # The connection is closed, because the rest of the body would still come through it.
    return JSONResponse({"message": reason}, status, {"Connection": "close"})
