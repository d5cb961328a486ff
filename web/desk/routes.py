"""The approval desk at /approvals, where reviewers see which refunds wait, and approve, lower or reject them.

A decision is written to the ledger first. Only then is the event sent that wakes the run; should it be lost, the cron
`resend-wake-ups` wakes the run within minutes. The pages for reading are in pages.py, who is let in is in sign_in.py.
"""

import logging
import re
from collections.abc import Mapping
from functools import partial

import fastapi
from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from refunds import ledger
from web import Event, Send, limits
from web.desk import cost, errors, pages, person, queries, rendering
from web.desk.pages import NOTE_MAX_CHARS, Desk, Problem, number
from web.desk.sign_in import SignedOutError, SignIn, Visitor
from web.desk.tries import TooManyTriesError

FORM_MAX_BYTES = 64_000
logger = logging.getLogger("customer-support")


def router(send: Send, *, dev: bool) -> fastapi.APIRouter:
    """Everything under /approvals. With `dev` and no reviewer configured, this machine needs no sign-in.

    Raises settings.SettingError for a REVIEWERS that cannot work.
    """
    desk = Desk(send, SignIn(dev=dev))
    # An application of its own, so that its errors and unknown paths are pages of the desk too, with the same headers.
    app = fastapi.FastAPI(openapi_url=None, redirect_slashes=False, max_body_size=FORM_MAX_BYTES)
    app.add_route("/approvals", partial(pages.waiting, desk))
    app.add_route("/approvals/waiting", partial(pages.changes, desk))
    app.add_route("/approvals/decided", partial(pages.decided, desk))
    app.add_route("/approvals/audit", partial(pages.audit, desk))
    app.add_route("/approvals/audit/{entry_id}", partial(pages.audit_entry, desk))
    app.add_route("/approvals/cost", partial(cost.cost, desk))
    app.add_route("/approvals/needs-a-person", partial(person.needs_a_person, desk))
    app.add_route("/approvals/needs-a-person/{entry_id}/done", partial(mark_done, desk), methods=["POST"])
    app.add_route("/approvals/sign-in", partial(sign_in_page, desk))
    app.add_route("/approvals/sign-in", partial(sign_in, desk), methods=["POST"])
    app.add_route("/approvals/sign-out", partial(sign_out, desk), methods=["POST"])
    app.add_route("/approvals/static/{name}", rendering.static)
    app.add_route("/approvals/{refund_id}", partial(pages.one, desk))
    app.add_route("/approvals/{refund_id}/decision", partial(decide, desk), methods=["POST"])
    for error, page in errors.PAGES.items():
        app.add_exception_handler(error, partial(page, desk))
    mounted = fastapi.APIRouter(include_in_schema=False)
    bounded = rendering.SecurityHeaders(limits.Deadline(app, partial(errors.database_error, desk)))
    for path in ("/approvals", "/approvals/{rest:path}"):
        mounted.add_route(path, bounded, include_in_schema=False)  # type: ignore[arg-type]
    return mounted


# Decisions


async def decide(desk: Desk, request: Request) -> Response:
    """POST /approvals/{refund_id}/decision: record it, wake the run, and go to the page that says what happened."""
    visitor, form = await _form(desk, request)
    try:
        visitor = await desk.sign_in.reviewer(request)
        return await _decide(desk, visitor, number(request.path_params["refund_id"]), form)
    except queries.DATABASE_ERRORS as error:
        errors.log_database_error(error)
        # The decision may have been recorded all the same. Sent again with the same nonce, it is the same decision.
        return desk.respond("again.html", visitor, 503, {"retry-after": "5"}, page="", form=form, path=request.url.path)


async def _decide(desk: Desk, visitor: Visitor, refund_id: int | None, form: Mapping[str, str]) -> Response:
    row = await queries.one(refund_id) if refund_id else None
    if row is None or refund_id is None:
        raise HTTPException(404)
    approved, note = form.get("decision") == "approve", form.get("note", "").strip()
    amount = cents(form.get("amount", "")) if approved else None
    problem = _problem(form, amount, note, row["first"]["approved_cents"] if row["first"] else row["amount_cents"])
    if problem and row["status"] == "pending" and row["seconds_left"] > 0:
        return await pages.page_of(desk, visitor, refund_id, typed=form, problem=problem)
    decision = ledger.Decision(
        approved=approved,
        by=visitor.name or "",
        key=f"desk-{refund_id}-{form.get('nonce', '')}",
        note=note[:NOTE_MAX_CHARS],
        amount_cents=amount,
        also_paid=form.get("also_paid") == "yes",
    )
    refusal = await ledger.decide(refund_id, form.get("shown", ""), decision)
    if refusal is not None:
        # Why stands in the refund's history.
        logger.warning("A decision on refund %d was refused", refund_id)
        return RedirectResponse(f"/approvals/{refund_id}?said=refused", 303)
    if not await queries.no_longer_waiting([refund_id]):
        # It was the first yes of two, so there is nothing yet to wake the run for.
        return RedirectResponse(f"/approvals/{refund_id}?said=first", 303)
    wake_up = Event(
        id=f"decided-{refund_id}",
        name="refund/approval.decided",
        data={"request_id": row["request_id"], "refund_id": refund_id},
    )
    try:
        await desk.send([wake_up])
    except Exception as error:
        logger.warning("The engine was not told of decision %s yet: %s", refund_id, type(error).__name__)
        return RedirectResponse(f"/approvals/{refund_id}?said=recorded-not-sent", 303)
    return RedirectResponse(f"/approvals/{refund_id}?said=recorded", 303)


def _problem(form: Mapping[str, str], amount: int | None, note: str, asked: int) -> Problem | None:
    """The first thing that the reviewer has to correct, if any. `amount` and `asked` are in cents."""
    decision, most = form.get("decision"), rendering.dollars(asked)
    if decision not in {"approve", "reject"} or not re.fullmatch(r"[\w-]{16,64}", form.get("nonce", ""), re.ASCII):
        return Problem("decision", "Choose Approve or Reject.")
    if decision == "approve" and amount is None:
        return Problem("amount", f"Enter an amount in dollars, such as {most}.")
    if amount is not None and not 0 < amount <= asked:
        return Problem("amount", f"The amount must be above $0.00 and at most {most}.")
    if decision == "reject" and not any(letter.isalpha() for letter in note):
        return Problem("note", "Write a sentence that tells the customer why.")
    if len(note) > NOTE_MAX_CHARS:
        return Problem("note", f"This is {len(note)} characters long; at most {NOTE_MAX_CHARS} are kept.")
    return None


def cents(amount: str) -> int | None:
    """The cents of "49", "$49.00" or "1,234.5"; None for what is not clearly an amount, such as "49,00"."""
    match = re.fullmatch(r"\s*\$?\s*([0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.([0-9]{1,2}))?\s*", amount)
    if match is None:
        return None
    whole, fraction = match.groups()
    return int(whole.replace(",", "")) * 100 + int((fraction or "").ljust(2, "0"))


# What needs a person


async def mark_done(desk: Desk, request: Request) -> Response:
    """POST /approvals/needs-a-person/{entry_id}/done: record that the reviewer has seen to it."""
    _, form = await _form(desk, request)
    visitor = await desk.sign_in.reviewer(request)
    entry_id = number(request.path_params["entry_id"])
    if entry_id is None or not await person.done(entry_id, visitor.name or "", form):
        raise HTTPException(404)
    return RedirectResponse("/approvals/needs-a-person", 303)


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
        problem = f"Too many tries. Try again in {error.seconds} s."
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
    """The visitor, and the form that was made for this visitor. Raises ClosedError and ForgedError."""
    visitor = desk.sign_in.visitor(request)
    # No form of the desk is multipart. Such a form names its own charset, and some charsets raise, are very slow to
    # decode, or make half surrogate pairs.
    if "multipart" in request.headers.get("content-type", "").lower():
        raise HTTPException(400)
    form = await request.form(max_files=0, max_fields=20)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    desk.sign_in.check_form(request, visitor, fields)
    return visitor, fields


def _to(refund_id: int | None) -> Response:
    return RedirectResponse(f"/approvals/{refund_id}" if refund_id else "/approvals", 303)
