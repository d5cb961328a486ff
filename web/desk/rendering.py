"""How the desk's pages are made: templates that escape all text, the headers of every answer, the static files."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from refunds.lookalikes import visible

FOLDER = Path(__file__).parent
# Whatever is not named here is forbidden: content of other hosts, inline scripts and styles, a frame around the page,
# and forms that lead elsewhere.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC = {path.name: path.read_bytes() for path in sorted((FOLDER / "static").iterdir())}
VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in STATIC.items()}


class SecurityHeaders:
    """An ASGI application around another that adds the headers to each of its answers, errors included."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                wanted = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                missing = [(name, value) for name, value in wanted if name not in present]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def dollars(cents: int) -> str:
    """An amount of cents as people write it: $1,234.50 for 123450."""
    return f"${cents // 100:,}.{cents % 100:02}"


def utc(at: datetime) -> str:
    """A moment for people: 2026-01-31 09:05 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def iso(at: datetime) -> str:
    """A moment for machines, to the second: 2026-01-31T09:05:07Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def indented(detail: str) -> str:
    """JSON laid out for people. A text that is not JSON, such as the beginning of one, stays as it is."""
    try:
        return json.dumps(json.loads(detail), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return detail


def with_nothing_invisible(value: Any) -> Any:
    """A text in which invisible characters are spelled out, as [U+202E], so that it reads as it was written."""
    return visible(value) if type(value) is str else value


_templates = jinja2.Environment(
    # All are read now: a process that has no file left to open still answers who was connected before.
    loader=jinja2.DictLoader({path.name: path.read_text() for path in (FOLDER / "templates").iterdir()}),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=with_nothing_invisible,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"dollars": dollars, "utc": utc, "iso": iso, "indented": indented}
_templates.globals["versions"] = VERSIONS


def render(
    template: str, context: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page. Raises jinja2.UndefinedError for a name that is in the template and not in the context."""
    return HTMLResponse(_templates.get_template(template).render(context), status, headers)


async def static(request: Request) -> Response:
    """A stylesheet, script or picture. A browser may keep it if its page named the present version."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response("There is no such file.", 404, media_type="text/plain")
    is_present = request.query_params.get("v") == VERSIONS[name]
    caching = {"cache-control": "public, max-age=31536000, immutable"} if is_present else None
    return Response(STATIC[name], headers=caching, media_type=MEDIA_TYPES[Path(name).suffix])
