"""The page for each case in which the desk cannot do what it was asked, and what to do about it."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from web.desk import queries
from web.desk.pages import Desk
from web.desk.sign_in import ClosedError, ForgedError, SignedOutError

logger = logging.getLogger("customer-support")
Page = Callable[[Desk, Request, Any], Awaitable[Response]]


def log_database_error(error: Exception) -> None:
    """Leave a line for whoever runs the app. The error's type says what is wrong; its text may hold the password."""
    logger.error("The desk cannot use the database: %s", type(error).__name__)


def _message(
    desk: Desk, status: int, heading: str, *lines: str, refund: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    return desk.respond("message.html", None, status, headers, page="", heading=heading, lines=lines, refund=refund)


def _refund(request: Request) -> str:
    """The number of the refund that the request is about; empty if it is about none."""
    about = re.fullmatch(r"/approvals/([1-9][0-9]{0,17})(?:/decision)?", request.url.path, re.ASCII)
    return about[1] if about else ""


async def closed(desk: Desk, request: Request, error: ClosedError) -> Response:
    """403: nobody can sign in here. The page says what to configure."""
    return desk.respond("closed.html", None, 403, page="", why=str(error))


async def signed_out(desk: Desk, request: Request, error: SignedOutError) -> Response:
    """A redirect to the sign-in page, which leads back to the refund that was wanted."""
    if request.url.path == "/approvals/waiting":
        return PlainTextResponse("Signed out.", 403)
    refund = _refund(request)
    return RedirectResponse(f"/approvals/sign-in{f'?refund={refund}' if refund else ''}", 303)


async def forged(desk: Desk, request: Request, error: ForgedError) -> Response:
    """403: the form was made for another session, or another site sent it."""
    return _message(
        desk,
        403,
        "Nothing was done",
        "This form belongs to an earlier session. Open the page again; what you typed should still be there.",
        "If it happens every time: the desk needs cookies and, outside dev mode, https.",
        refund=_refund(request),
    )


async def database_error(desk: Desk, request: Request, error: Exception) -> Response:
    """503: the database does not answer, or has no tables yet."""
    log_database_error(error)
    kept = "Nothing is lost: every request and every recorded decision is kept. Reload this page in a moment."
    return _message(desk, 503, "The desk cannot reach its database", kept, headers={"retry-after": "5"})


async def missing(desk: Desk, request: Request, error: Any) -> Response:
    """404."""
    return _message(desk, 404, "There is no such page", "Nor is there a request of that number.")


async def refused(desk: Desk, request: Request, error: Any) -> Response:
    """400, 405 or 413: no page of the desk sends such a request."""
    return _message(desk, error.status_code, "This is not how it works", "Nothing was done.", headers=error.headers)


async def broken(desk: Desk, request: Request, error: Exception) -> Response:
    """500: a mistake in the desk itself. The server's log has it."""
    said = "The log has the details. A decision counts only if its request says so."
    return _message(desk, 500, "Something went wrong", said)


PAGES: dict[int | type[Exception], Page] = {
    ClosedError: closed,
    SignedOutError: signed_out,
    ForgedError: forged,
    **dict.fromkeys(queries.DATABASE_ERRORS, database_error),
    Exception: broken,
    400: refused,
    404: missing,
    405: refused,
    413: refused,
}
