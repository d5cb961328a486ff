"""What every webhook does around its own work: read the body within bounds, parse it, refuse it, send the event.

Every refusal is logged once, with the webhook and the reason. Neither the log nor the answer repeats what was sent.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import fastapi
import pydantic

from web import Event, Send

T = TypeVar("T")
RETRY_AFTER_SECONDS = 30
# The provider's id becomes the event's id unchanged, so that a repeated delivery is the same event.
EventId = Annotated[str, pydantic.Field(pattern=r"^[!-~]{1,200}$")]
logger = logging.getLogger("customer-support")


@dataclass(frozen=True)
class Endpoint:
    """One webhook: its name in the log, the largest body it reads in bytes, and the seconds it waits for the body."""

    name: str
    max_bytes: int = 1_000_000
    seconds: float = 10

    def refusal(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> fastapi.HTTPException:
        """Log the refusal and return it, for the caller to raise."""
        logger.warning("Refused at the %s webhook with %d: %s", self.name, status, reason)
        return fastapi.HTTPException(status, reason, dict(headers or {}))

    def not_configured(self, setting: str) -> fastapi.HTTPException:
        """503 for a webhook without its setting. The provider repeats, so nothing is lost until it is set."""
        return self.refusal(503, f"not configured: set {setting}", {"Retry-After": "600"})

    def unavailable(self, what: str, error: Exception) -> fastapi.HTTPException:
        """503 with the time after which to repeat. Only the error's type is told: its text may hold a secret."""
        reason = f"{what} ({type(error).__name__})"
        return self.refusal(503, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})

    async def read(self, request: fastapi.Request) -> bytes:
        """The body. Raises 413 when it is or says it is too large, and 408 when it takes too long."""
        too_large = f"the body has more than {self.max_bytes} bytes"
        # The connection is closed after a refusal, because the rest of the body would still come through it.
        hang_up = {"Connection": "close"}
        try:
            declared = int(request.headers.get("content-length") or 0)
        except ValueError:
            raise self.refusal(400, "the Content-Length is not a number", hang_up) from None
        if declared > self.max_bytes:
            raise self.refusal(413, too_large, hang_up)
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
        """The JSON object in the body. Raises 400 for anything else."""
        try:
            posted = json.loads(body)
        except RecursionError:
            raise self.refusal(400, "the body is nested too deeply") from None
        # ValueError and not only JSONDecodeError, for text that is not UTF-8 and for a number of 5,000 digits.
        except ValueError:
            raise self.refusal(400, "the body is not JSON") from None
        if not isinstance(posted, dict):
            raise self.refusal(400, "the body is not a JSON object")
        return posted

    def validated(self, read: Callable[[dict[str, Any]], T], posted: dict[str, Any]) -> T:
        """What `read` makes of the JSON object. Raises 400 with the name of the first wrong field, not its value."""
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
