"""Which failures of a step are tried again, and when. Anything that is not named here is tried again with backoff."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import agents
import inngest
import openai

from outbound import chat
from steps.saved_state import raised_by_a_tool

# The engine's default: a step that fails is tried five times in all.
RETRIES = 4
RETRY_AFTER_MAX = timedelta(hours=1)
CHAT_RETRY_AFTER_MAX = timedelta(minutes=1)
# These would fail in the same way the next time.
PERMANENT = (openai.BadRequestError, agents.ModelRefusalError, agents.MaxTurnsExceeded, agents.UserError)


@asynccontextmanager
async def retry_model() -> AsyncIterator[None]:
    """A busy model is asked again when it says so, and a refusal is not tried again."""
    try:
        yield
    except openai.RateLimitError as error:
        seconds = error.response.headers.get("retry-after", "")
        if not seconds.isdecimal():
            raise
        # Python cannot count the days of a number with many digits.
        wait = min(timedelta(seconds=int(seconds[:9])), RETRY_AFTER_MAX)
        raise inngest.RetryAfterError("The model is busy.", wait) from error
    except PERMANENT as error:
        if raised_by_a_tool(error):
            raise
        raise inngest.NonRetriableError(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def retry_chat() -> AsyncIterator[None]:
    """A chat service that names a time is asked again then, but within a minute."""
    try:
        yield
    except chat.UnavailableError as error:
        if error.seconds is None:
            raise
        wait = min(timedelta(seconds=error.seconds), CHAT_RETRY_AFTER_MAX)
        raise inngest.RetryAfterError(str(error), wait) from None
