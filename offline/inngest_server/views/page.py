"""The stand-in's page: what is registered, what came in and what became of it, for a person with a browser.

A page is rendered here as a whole, from `page_files/*.html`. A script of a few lines asks for it again and shows what
has changed. Whatever changes something is a form, and is refused when another site's page has sent it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from offline.inngest_server.core import go_json
from offline.inngest_server.core.registration import seconds
from offline.inngest_server.core.state import (
    OFFICIAL_COMMAND,
    Function,
    Json,
    Run,
    RunStatus,
    Step,
    StepOp,
    StepStatus,
    Trigger,
)
from offline.inngest_server.core.trace import duration_ms
from offline.inngest_server.service import InvalidEventError, NotFoundError, RunFilter, Service

FOLDER = Path(__file__).with_name("page_files")
MAX_LISTED = 100
"""Runs or events on one page, the newest."""

MAX_SHOWN = 20_000
"""Characters of one output. What is longer can be read over the API."""

MAX_MOVE = 10 * 365 * 86_400.0
"""Seconds by which the clock can be moved at once. The calendar of Python ends with the year 9999."""

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
STATUSES = ["queued", "running", "completed", "failed", "cancelled"]

Endpoint = Callable[[Request], Awaitable[Response]]
Fields = dict[str, str]


class RefusedError(Exception):
    """A form that cannot be carried out. The text is for the person who sent it."""


def routes(service: Service) -> list[Route]:
    """The routes of one server."""
    page = _Page(service)
    return [
        Route("/", page.runs),
        Route("/runs", page.runs),
        Route("/runs/{id}", page.run),
        Route("/runs/{id}/rerun", page.form(page.rerun), methods=["POST"]),
        Route("/runs/{id}/cancel", page.form(page.cancel), methods=["POST"]),
        Route("/functions", page.functions),
        Route("/functions/{id:path}/invoke", page.form(page.invoke), methods=["POST"]),
        Route("/events", page.events),
        Route("/events", page.form(page.send), methods=["POST"]),
        Route("/clock", page.form(page.move_clock), methods=["POST"]),
        Route("/page.css", _file("page.css")),
        Route("/page.js", _file("page.js")),
    ]


class _Page:
    def __init__(self, service: Service) -> None:
        self._service = service
        loader = FileSystemLoader(FOLDER)
        self._templates = Environment(loader=loader, autoescape=True, trim_blocks=True)
        self._templates.filters |= {"json": _pretty, "time": _time, "took": _took, "duration": _duration}
        self._templates.globals |= {
            "official": OFFICIAL_COMMAND,
            "waits_for": self._waits_for,
            "left": self._left,
            "next_attempt": self._next_attempt,
            "trigger": _trigger,
            "flow": _flow_control,
        }

    # What is shown

    async def runs(self, request: Request) -> Response:
        query = request.query_params
        status, function = query.get("status", ""), query.get("function", "")
        found = self._service.runs(RunFilter(statuses={status.upper()} if status else ()))
        chosen = [run for run in found if not function or run.function.id == function]
        return self._render(
            "runs.html",
            runs=chosen[:MAX_LISTED],
            total=len(chosen),
            status=status,
            statuses=STATUSES,
            function=function,
        )

    async def run(self, request: Request) -> Response:
        try:
            run = self._service.run(request.path_params["id"])
        except NotFoundError:
            return self._problem("There is no such run. All state is lost when the stand-in ends.", 404)
        return self._render("run.html", run=run, error=run.output if run.status is RunStatus.FAILED else None)

    async def functions(self, _: Request) -> Response:
        return self._render("functions.html", apps=self._service.apps(), functions=self._service.functions())

    async def events(self, request: Request) -> Response:
        internal = bool(request.query_params.get("internal"))
        found = self._service.events(internal=internal)
        triggers = {trigger.event for function in self._service.functions() for trigger in function.triggers}
        return self._render(
            "events.html",
            events=found[:MAX_LISTED],
            total=len(found),
            internal=internal,
            runs=self._service.state.runs,
            names=sorted(filter(None, triggers)),
            name=request.query_params.get("name", ""),
        )

    # What can be done

    def form(self, action: Callable[[Request, Fields], Awaitable[str]]) -> Endpoint:
        """Return an endpoint that carries out a form and then shows the page whose address `action` returns."""

        async def endpoint(request: Request) -> Response:
            if not _is_own_form(request):
                return self._problem("This form was sent by a page of another site, and nothing was done.", 403)
            fields = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
            try:
                return RedirectResponse(await action(request, fields), 303)
            except (RefusedError, LookupError, ValueError) as error:
                return self._problem(str(error), 400)
            except TimeoutError:
                waiting = self._service.in_flight
                return self._problem(f"Time stands still: {waiting} requests to apps are still unanswered.", 504)

        return endpoint

    async def send(self, _: Request, fields: Fields) -> str:
        event = {"name": fields.get("name", ""), "data": _data(fields)}
        if fields.get("id"):
            event["id"] = fields["id"]
        try:
            self._service.send_events([event])
        except InvalidEventError as error:
            raise RefusedError(str(error)) from error
        return "/events"

    async def invoke(self, request: Request, fields: Fields) -> str:
        return f"/runs/{self._service.invoke(None, request.path_params['id'], _data(fields))}"

    async def rerun(self, request: Request, fields: Fields) -> str:
        return f"/runs/{self._service.rerun(request.path_params['id'], fields.get('from_step') or None)}"

    async def cancel(self, request: Request, _: Fields) -> str:
        return f"/runs/{self._service.cancel_run(request.path_params['id']).id}"

    async def move_clock(self, request: Request, fields: Fields) -> str:
        by = seconds(fields.get("by") or fields.get("duration") or "")
        if by is None or by > MAX_MOVE:
            raise RefusedError("How far? Write a duration of up to 10y, such as 90s, 15m, 4h or 1d.")
        await self._service.advance(timedelta(seconds=by))
        return urlsplit(request.headers.get("referer", "")).path or "/"

    def _render(self, template: str, http_status: int = 200, **values: Any) -> Response:
        shown = {"now": self._service.clock.now(), "offset": self._service.clock.offset, **values}
        here = template.partition(".")[0]
        return HTMLResponse(
            self._templates.get_template(template).render(shown, here="runs" if here == "run" else here),
            http_status,
            HEADERS,
        )

    def _problem(self, message: str, status: int) -> Response:
        return self._render("problem.html", status, message=message)

    def _waits_for(self, step: Step) -> str:
        """Say in words what a step waits for and how long it still does; the empty text when it waits for nothing."""
        if step.status is not StepStatus.WAITING:
            return ""
        until = step.opts.get("until") or step.opts.get("timeout_at")
        left = _duration(self._left(step))
        if step.op is StepOp.SLEEP:
            return f"sleeps for another {left}, until {_time(until)}"
        if step.op is StepOp.WAIT_FOR_EVENT:
            condition = f" if {step.opts['if']}" if step.opts.get("if") else ""
            return f"waits for {step.opts['event']}{condition}, for another {left}, until {_time(until)}"
        return f"waits for a run of {step.opts.get('function_id')}, for another {left}, until {_time(until)}"

    def _left(self, step: Step) -> float:
        """Return for how many seconds a step still waits."""
        until = step.opts.get("until") or step.opts.get("timeout_at") or 0.0
        return max(0.0, float(until) - self._service.clock.now())

    def _next_attempt(self, run: Run) -> float | None:
        """Return when the next of a run's failed calls is tried again, if one is."""
        return min((when for name, when in self._service.timers(run) if name.startswith("retry-")), default=None)


def _file(name: str) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return FileResponse(FOLDER / name, headers=HEADERS)

    return endpoint


def _is_own_form(request: Request) -> bool:
    """Whether a form comes from a page of this server, or from a program that is no browser.

    A browser says with every form which site it belongs to. A site whose name leads to this machine (DNS rebinding)
    says the name that the request is sent to, so the name has to be one that no other site can have.
    """
    host = request.headers.get("host", "")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc == host and _is_this_machine(urlsplit(f"//{host}").hostname or "")


def _is_this_machine(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def _data(fields: Fields) -> dict[str, Json]:
    """The JSON object in a form's field. Raises RefusedError."""
    try:
        data = go_json.loads((fields.get("data") or "{}").encode())
    except ValueError as error:
        raise RefusedError(f"The data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise RefusedError('The data has to be a JSON object, such as {"name": "Ada"}.')
    return data


def _pretty(value: Json) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} … ({len(text):,} characters)"


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _took(thing: Any) -> str:
    """How long something took, which has `started_at` and `ended_at`."""
    milliseconds = duration_ms(thing.started_at, thing.ended_at)
    if milliseconds is None:
        return ""
    return f"{milliseconds} ms" if milliseconds < 1_000 else _duration(milliseconds / 1_000)  # noqa: PLR2004


def _duration(length: float) -> str:
    """Say a length of time, given in seconds, by its two largest units."""
    left, parts = max(0, round(length)), []
    for unit, size in {"d": 86_400, "h": 3_600, "min": 60, "s": 1}.items():
        count, left = divmod(left, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2]) or "0 s"


def _trigger(trigger: Trigger) -> str:
    if trigger.cron:
        return f"cron {trigger.cron}"
    return f"{trigger.event} if {trigger.expression}" if trigger.expression else f"{trigger.event}"


def _flow_control(function: Function) -> Json:
    """What the function's author has set beyond its triggers, as it was registered."""
    known = {"id", "name", "triggers", "steps"}
    return {name: value for name, value in function.config.items() if name not in known and value}
