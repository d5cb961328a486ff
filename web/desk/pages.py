"""The desk's pages for reading: what waits, one refund, what was decided, the audit trail. A GET changes nothing."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import HTTPException, Request
from fastapi.responses import Response

from refunds import payments
from web import Send
from web.desk import queries
from web.desk.rendering import render
from web.desk.sign_in import SignIn, Visitor

# The most cards that an open page can ask about: those it was loaded with, and those that came since.
SHOWN_MAX = 200
# A list shows the oldest payments without an outcome.
UNFINISHED_SHOWN = 20
# How long the reviewer's sentence for the customer can be.
NOTE_MAX_CHARS = 1000
FILTER_MAX_CHARS = 200


class Problem(NamedTuple):
    """What has to be corrected in a form: the field, and a sentence about it."""

    field: str
    text: str


@dataclass(frozen=True)
class Desk:
    """What every handler is given."""

    send: Send
    sign_in: SignIn

    def respond(
        self,
        template: str,
        visitor: Visitor | None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """A page for this visitor, with the cookie if the visitor is new."""
        context |= {
            "visitor": visitor,
            "open_to_all": self.sign_in.open_to_all,
            "nonce": secrets.token_urlsafe,
            "note_max_chars": NOTE_MAX_CHARS,
        }
        response = render(template, context, status, headers)
        if visitor is not None:
            self.sign_in.set_cookie(response, visitor)
        return response


def number(text: str) -> int | None:
    """A row's id as it stands in a URL; None for anything that cannot be one."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,17}", text) else None


async def waiting(desk: Desk, request: Request) -> Response:
    """GET /approvals: what waits, soonest deadline first."""
    visitor = await desk.sign_in.reviewer(request)
    after = number(request.query_params.get("after", ""))
    version, _ = await queries.version()
    rows, more = await queries.waiting(after)
    unanswered = await payments.unfinished(UNFINISHED_SHOWN) if after is None else []
    return desk.respond(
        "waiting.html",
        visitor,
        page="waiting",
        rows=rows,
        more=more,
        after=after,
        unanswered=unanswered,
        version=version,
    )


async def changes(desk: Desk, request: Request) -> Response:
    """GET /approvals/waiting, which an open page polls: new cards, and what became of those in `shown`; else 304."""
    visitor = await desk.sign_in.reviewer(request)
    version, _ = await queries.version()
    etag = f'W/"{version}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"etag": etag})
    listed = request.query_params.get("shown", "").split(",", SHOWN_MAX)[:SHOWN_MAX]
    shown = [refund_id for refund_id in map(number, listed) if refund_id is not None]
    closed = await queries.no_longer_waiting(shown)
    rows: list[dict[str, Any]] = []
    more = False
    if "list" in request.query_params:
        rows, more = await queries.waiting(number(request.query_params.get("after", "")))
    return desk.respond(
        "changes.html", visitor, headers={"etag": etag}, rows=rows, more=more, closed=closed, shown=shown
    )


async def one(desk: Desk, request: Request) -> Response:
    """GET /approvals/{refund_id}: one refund, with the form while it waits and with the decision afterwards."""
    visitor = await desk.sign_in.reviewer(request)
    refund_id = number(request.path_params["refund_id"])
    return await page_of(desk, visitor, refund_id, said=request.query_params.get("said", ""))


async def page_of(
    desk: Desk,
    visitor: Visitor,
    refund_id: int | None,
    *,
    said: str = "",
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Response:
    """A refund's page. With a `problem` its status is 422, and the form has what was `typed`, to be corrected.

    `said` is what became of a decision. The page believes it only as far as the row agrees, because anybody can write a
    link that says it.
    """
    row = await queries.one(refund_id) if refund_id else None
    if row is None or refund_id is None:
        raise HTTPException(404)
    by_visitor = row["decided_by"] == visitor.name
    version, next_id = await queries.version()
    return desk.respond(
        "one.html",
        visitor,
        422 if problem else 200,
        page="one",
        row=row,
        history=await queries.history(refund_id),
        said=said if by_visitor or "recorded" not in said else "",
        by_visitor=by_visitor,
        typed=typed or {},
        problem=problem,
        next_id=next_id,
        version=version,
    )


async def decided(desk: Desk, request: Request) -> Response:
    """GET /approvals/decided: what was decided by whom, newest first."""
    visitor = await desk.sign_in.reviewer(request)
    rows, more = await queries.decided(number(request.query_params.get("before", "")))
    return desk.respond("decided.html", visitor, page="decided", rows=rows, more=more)


async def audit(desk: Desk, request: Request) -> Response:
    """GET /approvals/audit: the audit trail, newest first, of one customer, run or action, or of all of them."""
    visitor = await desk.sign_in.reviewer(request)
    chosen = {
        name: request.query_params.get(name, "").strip()[:FILTER_MAX_CHARS] for name in ("customer", "run", "action")
    }
    given = {name: value for name, value in chosen.items() if value}
    if chosen["action"] not in {"", *queries.AUDIT_ACTIONS}:
        raise HTTPException(404)
    before = number(request.query_params.get("before", ""))
    rows, more = await queries.audit(given.get("customer"), given.get("run"), given.get("action"), before)
    return desk.respond(
        "audit.html",
        visitor,
        page="audit",
        rows=rows,
        older=urlencode({**given, "before": rows[-1]["id"]}) if more else "",
        newest=urlencode(given),
        paged=before is not None,
        chosen=chosen,
        actions=queries.AUDIT_ACTIONS,
    )


async def audit_entry(desk: Desk, request: Request) -> Response:
    """GET /approvals/audit/{entry_id}: one entry with its whole detail."""
    visitor = await desk.sign_in.reviewer(request)
    entry_id = number(request.path_params["entry_id"])
    row = await queries.audit_entry(entry_id) if entry_id else None
    if row is None:
        raise HTTPException(404)
    return desk.respond("audit_entry.html", visitor, page="audit", row=row)
