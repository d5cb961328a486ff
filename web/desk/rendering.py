"""How the desk's pages are made: templates that escape everything, the headers of every answer, the static files."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

FOLDER = Path(__file__).parent
# What is not said here is forbidden: nothing of another host, nothing inline, no frame around it, no form to elsewhere.
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
# U+202A to U+202E and U+2066 to U+2069: with them a text can look like another one (https://trojansource.codes).
REVERSING = re.compile("[\u202a-\u202e\u2066-\u2069]")
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC = {path.name: path.read_bytes() for path in sorted((FOLDER / "static").iterdir())}
VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in STATIC.items()}


class Sealed:
    """An ASGI application whose every answer, errors included, carries the headers."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""

        async def send_sealed(message: Any) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                missing = {name.encode(): value.encode() for name, value in HEADERS.items()}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in missing.items() if name not in present),
                ]
            await send(message)

        await self._app(scope, receive, send_sealed)


def dollars(cents: int) -> str:
    """$1,234.50 for 123450 cents."""
    return f"${cents // 100:,}.{cents % 100:02}"


def utc(at: datetime) -> str:
    """2026-01-31 09:05 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def iso(at: datetime) -> str:
    """The same for machines, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def indented(detail: str) -> str:
    """JSON for people; text that is no JSON, such as its beginning, as it is."""
    try:
        return json.dumps(json.loads(detail), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return detail


def honest(value: Any) -> Any:
    """Text that reads in the order it is written: marks that reverse it are shown as what they are."""
    return REVERSING.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", value) if type(value) is str else value


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=honest,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"dollars": dollars, "utc": utc, "iso": iso, "indented": indented}
_templates.globals["versions"] = VERSIONS


def render(
    template: str, context: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page. Raises jinja2.UndefinedError for a name that the context does not have."""
    return HTMLResponse(_templates.get_template(template).render(context), status, headers)


async def static(request: Request) -> Response:
    """A stylesheet, script or picture; a browser may keep the version that its page named."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response("There is no such file.", 404, media_type="text/plain")
    named = request.query_params.get("v") == VERSIONS[name]
    caching = {"cache-control": "public, max-age=31536000, immutable"} if named else None
    return Response(STATIC[name], headers=caching, media_type=MEDIA_TYPES[Path(name).suffix])
