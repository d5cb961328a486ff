"""Tells people that something waits for them: one message to a chat service, and a link to where it is decided.

`REVIEWER_WEBHOOK_URL` takes Slack's format (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks),
which others read too. The message repeats no email: a channel has more readers than the desk. The URL is a secret.
"""

import asyncio
import logging
import os
from typing import Any

import httpx

TIMEOUT_SECONDS = 10
MOST_LINES = 20
RETRY_AFTER_MAX_DIGITS = 9
TOO_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}
logger = logging.getLogger("customer-support")
# It writes every URL into the log at INFO, and so the secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


class UnavailableError(RuntimeError):
    """The chat service did not take the message and may take it later, after `seconds` if it said so."""

    def __init__(self, why: str, seconds: int | None = None) -> None:
        super().__init__(f"The message to the reviewers was not taken: {why}.")
        self.seconds = seconds


def check_settings() -> None:
    """Raise ValueError, without the URL, for one that cannot be posted or linked to."""
    for name, url in (("REVIEWER_WEBHOOK_URL", os.environ.get("REVIEWER_WEBHOOK_URL")), ("DESK_URL", desk_url())):
        if not url:
            continue
        try:
            parts = httpx.URL(url)
        except httpx.InvalidURL:
            parts = httpx.URL("")
        if parts.scheme not in {"http", "https"} or not parts.host or set(url) & set(" <>|"):
            raise ValueError(f"{name} is not a URL: expected https://host/path")


def desk_url() -> str:
    """Where the reviewers' browsers reach this app: `DESK_URL`, without a slash at its end."""
    return (os.environ.get("DESK_URL") or "http://127.0.0.1:8000").rstrip("/")


async def about_refunds(customer: str, rows: list[dict[str, Any]]) -> bool:
    """Tell the reviewers that these rows of the ledger wait. Returns and raises as `post` does."""
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
    """Post sentences, each with the desk's page about it; whether they were taken. With nowhere to post: log them.

    Raises UnavailableError for what may pass: no answer in 10 seconds, 408, 429, 5xx.
    """
    url = os.environ.get("REVIEWER_WEBHOOK_URL")
    if not url:
        for text, page in lines:
            logger.warning("%s %s%s", text, desk_url(), page)
        return False
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http,
            # Its body, however long, is not read.
            http.stream("POST", url, json=_slack(lines)) as answer,
        ):
            status, after = answer.status_code, answer.headers.get("retry-after", "")
    except (httpx.HTTPError, OSError) as error:
        raise UnavailableError(type(error).__name__) from None
    if status in TOO_BUSY or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        # Python refuses to read a number of 5,000 digits.
        seconds = int(after) if after.isdecimal() and len(after) <= RETRY_AFTER_MAX_DIGITS else None
        raise UnavailableError(f"status {status}", seconds)
    if not httpx.codes.is_success(status):
        logger.error("The reviewers were not told: their chat service answered with status %d.", status)
        return False
    return True


def _slack(lines: list[tuple[str, str]]) -> dict[str, Any]:
    """The payload. Only the link is markup (https://docs.slack.dev/messaging/formatting-message-text)."""
    blocks: list[dict[str, Any]] = []
    for text, page in lines:
        link = {"type": "mrkdwn", "text": f"<{_escaped(desk_url() + page)}|Open the desk>", "verbatim": True}
        blocks += [
            {"type": "section", "text": {"type": "plain_text", "text": text[:3000], "emoji": False}},
            {"type": "section", "text": link},
        ]
    text = "\n".join(_escaped(f"{text} {desk_url()}{page}") for text, page in lines)
    return {"text": text, "blocks": blocks}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
