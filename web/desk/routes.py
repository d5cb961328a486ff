"""The approval desk: where reviewers see what waits and say yes, less, or no.

A decision is written to the ledger first; the event that wakes the run is sent after, by a stable id, and again by
others if it was lost. The pages for reading are in `desk_pages.py`, who is let in is in `sign_in.py`.
"""

import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import fastapi
from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from refunds import ledger
from web import Event, Send
from web.desk import errors, pages, queries, rendering, reviewers
from web.desk.pages import Desk, Problem, number
from web.desk.sign_in import SignedOutError, SignIn, TooManyTriesError, Visitor

NOTE_MAX_CHARS = 1000
FORM_MAX_BYTES = 64_000
EVENTS_AT_ONCE = 100
logger = logging.getLogger("customer-support")


def check_settings() -> None:
    """Raise ValueError, in one sentence, for an unusable `REVIEWERS`."""
    reviewers.configured()


def router(send: Send, *, dev: bool) -> fastapi.APIRouter:
    """Everything under /approvals. `dev` opens it without sign-in to this machine while no reviewer is configured.

    Raises ValueError as `check_settings` does.
    """
    desk = Desk(send, SignIn(dev=dev))
    # An application of its own, so that its errors and its unknown pages are pages too, and carry the headers.
    app = fastapi.FastAPI(openapi_url=None, redirect_slashes=False, max_body_size=FORM_MAX_BYTES)
    app.add_route("/approvals", partial(pages.waiting, desk))
    app.add_route("/approvals/waiting", partial(pages.changes, desk))
    app.add_route("/approvals/decided", partial(pages.decided, desk))
    app.add_route("/approvals/audit", partial(pages.audit, desk))
    app.add_route("/approvals/audit/{entry_id}", partial(pages.audit_entry, desk))
    app.add_route("/approvals/sign-in", partial(sign_in_page, desk))
    app.add_route("/approvals/sign-in", partial(sign_in, desk), methods=["POST"])
    app.add_route("/approvals/sign-out", partial(sign_out, desk), methods=["POST"])
    app.add_route("/approvals/static/{name}", rendering.static)
    app.add_route("/approvals/{refund_id}", partial(pages.one, desk))
    app.add_route("/approvals/{refund_id}/decision", partial(decide, desk), methods=["POST"])
    for error, page in errors.PAGES.items():
        app.add_exception_handler(error, partial(page, desk))
    mounted = fastapi.APIRouter(include_in_schema=False)
    for path in ("/approvals", "/approvals/{rest:path}"):
        mounted.add_route(path, rendering.Sealed(app), include_in_schema=False)  # type: ignore[arg-type]
    return mounted


# Decisions


async def decide(desk: Desk, request: Request) -> Response:
    """POST /approvals/{refund_id}/decision: record it, wake the run, and go to the page that says what happened."""
    visitor, form = await _form(desk, request)
    try:
        visitor = await desk.sign_in.reviewer(request)
        return await _decide(desk, visitor, number(request.path_params["refund_id"]), form)
    except queries.AWAY as error:
        errors.log_away(error)
        # Sent again with the same nonce, it is the same decision, should it have been recorded after all.
        return desk.respond("again.html", visitor, 503, {"retry-after": "5"}, page="", form=form, path=request.url.path)


async def _decide(desk: Desk, visitor: Visitor, refund_id: int | None, form: Mapping[str, str]) -> Response:
    row = await queries.one(refund_id) if refund_id else None
    if row is None or refund_id is None:
        raise HTTPException(404)
    approved, note = form.get("decision") == "approve", form.get("note", "").strip()
    amount = cents(form.get("amount", "")) if approved else None
    problem = _problem(form, amount, note, row["amount_cents"])
    if problem and row["status"] == "pending" and row["seconds_left"] > 0:
        return await pages.page_of(desk, visitor, refund_id, typed=form, problem=problem)
    refusal = await ledger.decide(
        refund_id, form.get("shown", ""), approved=approved, by=visitor.name or "", note=note[:NOTE_MAX_CHARS],
        amount_cents=amount, key=f"desk-{refund_id}-{form.get('nonce', '')}",
    )  # fmt: skip
    said = "refused"
    if refusal is None:
        said = "recorded"
        try:
            await desk.send([_wake_up(row)])
        except Exception as error:
            logger.warning("The engine was not told of decision %s yet: %s", refund_id, type(error).__name__)
            said = "recorded-not-sent"
    return RedirectResponse(f"/approvals/{refund_id}?said={said}", 303)


def _problem(form: Mapping[str, str], amount: int | None, note: str, asked: int) -> Problem | None:
    """The first thing that the reviewer has to correct, if any."""
    most = rendering.dollars(asked)
    decision, nonce = form.get("decision"), re.fullmatch(r"[\w-]{16,64}", form.get("nonce", ""), re.ASCII)
    said_why = any(character.isalpha() for character in note)
    found = [
        (not nonce or decision not in {"approve", "reject"}, "decision", "Choose Approve or Reject."),
        (
            decision == "approve" and amount is None,
            "amount", f"Enter an amount in dollars, such as {most}.",
        ),
        (
            amount is not None and not 0 < amount <= asked,
            "amount", f"The amount must be above $0.00 and at most {most}, which is what was asked for.",
        ),
        (
            decision == "reject" and not said_why,
            "note", "Write a sentence that tells the customer why.",
        ),
        (
            len(note) > NOTE_MAX_CHARS,
            "note", f"This is {len(note)} characters long; at most {NOTE_MAX_CHARS} are kept.",
        ),
    ]  # fmt: skip
    return next((Problem(field, text) for holds, field, text in found if holds), None)


def cents(amount: str) -> int | None:
    """The cents of "49", "$49.00" or "1,234.5"; None for what is not clearly an amount, such as "49,00"."""
    match = re.fullmatch(r"\s*\$?\s*([0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.([0-9]{1,2}))?\s*", amount)
    return match and int(match[1].replace(",", "")) * 100 + int((match[2] or "").ljust(2, "0"))


def _wake_up(row: Mapping[str, Any]) -> Event:
    return Event(
        id=f"decided-{row['id']}",
        name="refund/approval.decided",
        data={"request_id": row["request_id"], "refund_id": row["id"]},
    )


async def resend_decided(send: Send) -> int:
    """Send the wake-up of every decision that its run has not acted on; how many. Raises what `send` raises.

    The ids are those of the first time: an engine that has the event already does nothing new.
    """
    events = [_wake_up(row) for row in await queries.not_applied()]
    for start in range(0, len(events), EVENTS_AT_ONCE):
        await send(events[start : start + EVENTS_AT_ONCE])
    return len(events)


# Signing in and out


async def sign_in_page(desk: Desk, request: Request) -> Response:
    """GET /approvals/sign-in: the form, unless the visitor needs none."""
    visitor = desk.sign_in.visitor(request)
    wanted = number(request.query_params.get("refund", ""))
    try:
        await desk.sign_in.reviewer(request)
        return _to(wanted)
    except SignedOutError:
        return desk.respond("sign_in.html", visitor, page="", wanted=wanted, name="", problem="")


async def sign_in(desk: Desk, request: Request) -> Response:
    """POST /approvals/sign-in: back to the refund that was wanted, or to what waits."""
    if desk.sign_in.open_to_all:
        return _to(None)
    visitor, form = await _form(desk, request)
    wanted, name = number(form.get("refund", "")), form.get("name", "").strip()[:64]
    try:
        signed_in = await desk.sign_in.sign_in(request, visitor, name, form.get("password", ""))
    except TooManyTriesError as error:
        problem = f"Too many tries. Try again in {-(-error.seconds // 60)} min."
        headers = {"retry-after": str(error.seconds)}
        return desk.respond("sign_in.html", visitor, 429, headers, page="", wanted=wanted, name=name, problem=problem)
    if signed_in is None:
        problem = "This name and password do not go together."
        return desk.respond("sign_in.html", visitor, 403, page="", wanted=wanted, name=name, problem=problem)
    response = _to(wanted)
    desk.sign_in.set_cookie(response, signed_in)
    return response


async def sign_out(desk: Desk, request: Request) -> Response:
    """POST /approvals/sign-out: the session is over."""
    visitor, _ = await _form(desk, request)
    await desk.sign_in.sign_out(visitor)
    response = RedirectResponse("/approvals/sign-in", 303)
    desk.sign_in.delete_cookie(response)
    return response


async def _form(desk: Desk, request: Request) -> tuple[Visitor, dict[str, str]]:
    """The visitor and the form that this visitor was given. Raises ClosedError and ForgedError."""
    visitor = desk.sign_in.visitor(request)
    # No form here is one. It names its own charset: some raise, one takes its time, others make half surrogate pairs.
    if "multipart" in request.headers.get("content-type", "").lower():
        raise HTTPException(400)
    form = await request.form(max_files=0, max_fields=20)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    desk.sign_in.check_form(request, visitor, fields)
    return visitor, fields


def _to(refund_id: int | None) -> Response:
    return RedirectResponse(f"/approvals/{refund_id}" if refund_id else "/approvals", 303)
