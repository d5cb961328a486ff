"""What every door does with a request before and after it looks at the message: bound, parse, refuse, hand over.

A refusal is logged once, with the door and the reason, and neither repeats anything that the caller sent.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import fastapi
import pydantic

from web import Event, Send

T = TypeVar("T")
MAX_DEPTH = 64
RETRY_AFTER_SECONDS = 30
logger = logging.getLogger("customer-support")


@dataclass(frozen=True)
class Door:
    """One way in: its name for the log, the size of a body that it takes in bytes, and the time for all of it."""

    name: str
    max_bytes: int = 1_000_000
    seconds: float = 10

    def refusal(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> fastapi.HTTPException:
        """Log the refusal and return it, to be raised."""
        logger.warning("Refused at the %s door with %d: %s", self.name, status, reason)
        return fastapi.HTTPException(status, reason, dict(headers or {}))

    def closed(self, setting: str) -> fastapi.HTTPException:
        """503 for a door that is not configured: the provider repeats, so nothing is lost until it is."""
        return self.refusal(503, f"not configured: set {setting}", {"Retry-After": "600"})

    async def read(self, request: fastapi.Request) -> bytes:
        """The body. Raises 413 above the bound, declared or received, and 408 when it takes too long."""
        too_large = f"the body has more than {self.max_bytes} bytes"
        # What of the body is still to come is not wanted.
        hang_up = {"Connection": "close"}
        try:
            if int(request.headers.get("content-length") or 0) > self.max_bytes:
                raise self.refusal(413, too_large, hang_up)
        except ValueError:
            raise self.refusal(400, "the Content-Length is not a number", hang_up) from None
        body = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise self.refusal(400, "the caller hung up before the body was complete")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.max_bytes:
                        raise self.refusal(413, too_large, hang_up)
        except TimeoutError:
            raise self.refusal(408, f"the body took longer than {self.seconds:g} seconds", hang_up) from None
        return bytes(body)

    def parse(self, body: bytes) -> dict[str, Any]:
        """The JSON object in the body. Raises 400 for anything else, and for one that is nested too deeply."""
        try:
            value = json.loads(body)
            if isinstance(value, dict) and not _too_deep(value):
                return value
        except RecursionError:
            value = {}
        # Not only JSONDecodeError: a number of 5,000 digits and text that is no UTF-8 are others.
        except ValueError:
            raise self.refusal(400, "the body is not JSON") from None
        what = "nested too deeply" if isinstance(value, dict) else "not a JSON object"
        raise self.refusal(400, f"the body is {what}")

    def understood(self, read: Callable[[dict[str, Any]], T], posted: dict[str, Any]) -> T:
        """What `read` makes of the JSON object. Raises 400 with the first field that is wrong, not with its value."""
        try:
            return read(posted)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise self.refusal(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    async def hand_over(self, send: Send, event: Event) -> None:
        """Send the event. Raises 503 when the engine does not take it, so that the provider repeats."""
        try:
            await send([event])
        except Exception as error:
            raise self.unavailable("the event could not be sent", error) from None

    def unavailable(self, what: str, error: Exception) -> fastapi.HTTPException:
        """503 with the time after which to repeat; of the error only its type is told, its text may hold a secret."""
        reason = f"{what} ({type(error).__name__})"
        return self.refusal(503, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
