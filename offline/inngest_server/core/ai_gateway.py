"""One request to a model's API, made on behalf of a function (`step.ai.infer`)."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from .state import Json

TIMEOUT = 600.0
"""Seconds a model may take to answer."""


async def ask_model(session: aiohttp.ClientSession, opts: dict[str, Any]) -> tuple[Json, dict[str, Any] | None]:
    """Send the request that `opts` describes; return the answer's JSON and None, or None and the error.

    `opts` are those of the SDK's `AIGateway` op: `url`, `body`, `headers`, `auth_key`, and `format`, which says how
    the key is sent. An answer that is not JSON counts as an error.
    """
    headers, params = _credentials(opts.get("format"), opts.get("auth_key") or "")
    headers |= {str(name).title(): value for name, value in (opts.get("headers") or {}).items()}
    try:
        async with session.post(
            opts.get("url") or "",
            params=params,
            data=json.dumps(opts.get("body")),
            headers={"Content-Type": "application/json"} | headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        ) as response:
            raw = await response.text()
            if response.ok:
                return json.loads(raw), None
            reason = f"unsuccessful status code: {response.status}"
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raw, reason = "", type(error).__name__
    return None, {"name": "AIGatewayError", "message": f"Error making AI request: {reason}", "stack": raw}


def _credentials(api_format: str | None, key: str) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and query parameters with which an API of this format gets its key."""
    if api_format == "anthropic":
        return {"X-Api-Key": key}, {}
    if api_format == "gemini":
        return {}, {"key": key}
    if not key:
        return {}, {}
    if api_format == "bedrock":
        return {"Authorization": key}, {}
    return {"Authorization": f"Bearer {key}"}, {}
