"""Posts to the reviewers' chat: a sentence for each thing that needs a person, with a link to its page at the desk.

`REVIEWER_WEBHOOK_URL` is an incoming webhook in Slack's format, which other chat services read too
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks). No message quotes an email, because more
people read a channel than may use the desk. The URL is a secret: whoever has it can post.
"""

import asyncio
import logging
from typing import Any

import httpx

import settings

TIMEOUT_SECONDS = 10
MOST_LINES = 20
RETRY_AFTER_MAX_DIGITS = 9
TOO_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}
logger = logging.getLogger("customer-support")
# At level INFO, httpx logs the URL of every request, and with it the secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


class UnavailableError(RuntimeError):
    """The chat service did not take the message now; `seconds` is how long it asked us to wait, if it did."""

    def __init__(self, why: str, seconds: int | None = None) -> None:
        super().__init__(f"The message to the reviewers was not taken: {why}.")
        self.seconds = seconds


async def about_refunds(customer: str, rows: list[dict[str, Any]]) -> bool:
    """Tell the reviewers that these rows of the ledger wait for a decision. Returns and raises as `post` does."""
    lines = [
        (
            f"A refund of ${row['amount_cents'] / 100:,.2f} for order {row['order_id']} of {customer}"
            f" waits for your decision until {row['expires_at']:%Y-%m-%d %H:%M %Z}.",
            f"/approvals/{row['id']}",
        )
        for row in rows[:MOST_LINES]
    ]
    if rows[MOST_LINES:]:
        lines.append((f"{len(rows) - MOST_LINES} more wait.", "/approvals"))
    return await post(lines)


async def post(lines: list[tuple[str, str]]) -> bool:
    """Post sentences, each with the path of its page at the desk. Returns whether the chat service took them.

    Without REVIEWER_WEBHOOK_URL they are logged instead. Raises UnavailableError when it is worth trying again: there
    was no answer within 10 seconds, or its status was 408, 429 or 5xx.
    """
    url = settings.reviewer_webhook_url()
    if url is None:
        for text, page in lines:
            logger.warning("%s %s%s", text, settings.desk_url(), page)
        return False
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http,
            # Streamed, so that the answer's body is never read: it may be endless.
            http.stream("POST", url, json=_slack_message(lines)) as answer,
        ):
            status, retry_after = answer.status_code, answer.headers.get("retry-after", "")
    except (httpx.HTTPError, OSError) as error:
        raise UnavailableError(type(error).__name__) from None
    if status in TOO_BUSY or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise UnavailableError(f"status {status}", _seconds(retry_after))
    if not httpx.codes.is_success(status):
        logger.error("The reviewers were not told: their chat service answered with status %d.", status)
        return False
    return True


def _seconds(retry_after: str) -> int | None:
    """The seconds in a Retry-After header; None for a date, or for more digits than Python would convert."""
    return int(retry_after) if retry_after.isdecimal() and len(retry_after) <= RETRY_AFTER_MAX_DIGITS else None


def _slack_message(lines: list[tuple[str, str]]) -> dict[str, Any]:
    """The JSON that Slack expects (https://docs.slack.dev/messaging/formatting-message-text).

    The sentences are plain text and the links are the only markup, so nothing in a sentence can mention or link.
    """
    blocks: list[dict[str, Any]] = []
    for text, page in lines:
        link = f"<{_escaped(settings.desk_url() + page)}|Open the desk>"
        blocks += [
            {"type": "section", "text": {"type": "plain_text", "text": text[:3000], "emoji": False}},
            {"type": "section", "text": {"type": "mrkdwn", "text": link, "verbatim": True}},
        ]
    # What a notification shows, and a chat service that does not know blocks.
    fallback = "\n".join(_escaped(f"{text} {settings.desk_url()}{page}") for text, page in lines)
    return {"text": fallback, "blocks": blocks}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
