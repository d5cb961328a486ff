"""`GET /metrics` for Prometheus: what happened in this process, and what stands in the tables.

Counters of this process begin at 0 when it starts, as Prometheus expects. What is read from the tables is the same in
every process.
"""

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import fastapi
import inngest
import uvicorn
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

import db
import settings
from telemetry.current import Run
from telemetry.middleware import End
from telemetry.prices import price_of
from telemetry.usage import Call
from web.limits import DATABASE_SECONDS, within

PATH = "/metrics"
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISION_SECONDS = (60, 300, 900, 1800, 3600, 7200, 14400)
STEP_SECONDS = (0.05, 0.25, 1, 5, 15, 60, 300)
# A run that ends without an error: what it says of an email.
OUTCOMES = {"handle-customer-email": "answered", "record-failed-email": "failed", "record-unmatched-email": "unmatched"}
registry = CollectorRegistry()
emails = Counter("support_emails", "Emails by what became of them.", ["outcome"], registry=registry)
steps = Counter("support_steps", "Tries of steps.", ["step", "attempt", "outcome"], registry=registry)
step_seconds = Histogram(
    "support_step_seconds", "How long a try took.", ["step"], buckets=STEP_SECONDS, registry=registry
)
model_calls = Counter("support_model_calls", "Calls to models.", ["model", "outcome"], registry=registry)
tokens = Counter("support_tokens", "Tokens; cached is a part of input.", ["model", "kind"], registry=registry)
dollars = Counter("support_model_dollars", "What models cost, where the price is known.", ["model"], registry=registry)


class Counted:
    """The middleware's observer."""

    def began(self, run: Run, event: inngest.Event, headers: Mapping[str, str]) -> None:
        """Nothing is counted before it has ended."""

    def ended(self, run: Run, event: inngest.Event, end: End) -> None:
        """Count a try of a step, and an email whose last run has ended."""
        if end.waits:
            return
        if end.step is not None:
            steps.labels(end.step, run.attempt, "failed" if end.error else "done").inc()
            step_seconds.labels(end.step).observe(end.seconds)
        elif end.error is None and run.function_id in OUTCOMES:
            emails.labels(OUTCOMES[run.function_id]).inc()

    def sends(self, events: Sequence[inngest.Event]) -> None:
        """Events are not counted."""


def count_call(call: Call) -> None:
    """Count a call to a model, its tokens and its money."""
    model_calls.labels(call.model, "failed" if call.error else "answered").inc()
    tokens.labels(call.model, "input").inc(call.input_tokens)
    tokens.labels(call.model, "cached").inc(call.cached_tokens)
    tokens.labels(call.model, "output").inc(call.output_tokens)
    tokens.labels(call.model, "reasoning").inc(call.reasoning_tokens)
    price = price_of(call.model, call.api, datetime.now(UTC).date())
    if price is not None:
        used = price.dollars(call.input_tokens, call.cached_tokens, call.written_tokens, call.output_tokens)
        dollars.labels(call.model).inc(float(used))


# What stands in the tables


async def from_tables() -> list[Metric]:
    """Gauges and sums of the ledger and the list of what needs a person. Raises what the database raises."""
    [waiting] = await db.fetch(
        "select count(*) as refunds, coalesce(extract(epoch from now() - min(requested_at)), 0)::float8 as oldest"
        " from refunds where status = 'pending' and expires_at > now()"
    )
    [unpaid] = await db.fetch(
        "select count(*) as payments from refunds where status = 'approved' and payment_started_at is not null"
    )
    [person] = await db.fetch("select count(*) as emails from needs_person where done_at is null")
    settled = await db.fetch(
        "select coalesce(decision, 'none') as decision, status, count(*) as refunds,"
        " sum(coalesce(approved_cents, amount_cents))::bigint as cents"
        " from refunds where status <> 'pending' group by 1, 2 order by 1, 2"
    )
    decided = await db.fetch(
        "select width_bucket(extract(epoch from decided_at - requested_at)::float8, $1::float8[]) as bucket,"
        " count(*) as refunds, sum(extract(epoch from decided_at - requested_at))::float8 as seconds"
        " from refunds where decision in ('approved', 'rejected') group by 1",
        list(DECISION_SECONDS),
    )
    pool = await db.pool()
    return [
        GaugeMetricFamily("support_approvals_waiting", "Refunds that wait for a person.", waiting["refunds"]),
        GaugeMetricFamily(
            "support_oldest_approval_seconds", "How long the oldest of them has waited.", waiting["oldest"]
        ),
        GaugeMetricFamily(
            "support_payments_without_outcome", "Payments whose provider has not answered.", unpaid["payments"]
        ),
        GaugeMetricFamily("support_needs_person", "Emails and payments that need a person.", person["emails"]),
        GaugeMetricFamily(
            "support_pool_in_use", "Database connections in use.", pool.get_size() - pool.get_idle_size()
        ),
        GaugeMetricFamily("support_pool_size", "Database connections that there may be.", pool.get_max_size()),
        *_refunds(settled),
        _latency(decided),
    ]


def _refunds(rows: list[dict[str, Any]]) -> Iterable[Metric]:
    labels = ["decision", "status"]
    # A refund that goes on to its next status leaves the one before, so these can fall.
    count = GaugeMetricFamily("support_refunds", "Refunds by decision and what became of them.", labels=labels)
    cents = GaugeMetricFamily(
        "support_refund_cents", "Their cents, the approved ones where some were approved.", labels=labels
    )
    for row in rows:
        count.add_metric([row["decision"], row["status"]], row["refunds"])
        cents.add_metric([row["decision"], row["status"]], row["cents"])
    return count, cents


def _latency(rows: list[dict[str, Any]]) -> Metric:
    counts = {row["bucket"]: row["refunds"] for row in rows}
    buckets: list[tuple[str, float]] = []
    below = 0
    for number, limit in enumerate([*map(str, DECISION_SECONDS), "+Inf"]):
        below += counts.get(number, 0)
        buckets.append((limit, below))
    family = HistogramMetricFamily("support_decision_seconds", "From a refund's request to a person's decision.")
    family.add_metric([], buckets, sum(row["seconds"] for row in rows))
    return family


class _Tables:
    """What was read from the tables for one answer, in the form of a collector."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """The metrics."""
        return self._metrics


# HTTP


async def answer(request: fastapi.Request) -> Response:
    """GET /metrics. 401 without the token, if there is one, and 503 when the database does not answer."""
    token = settings.metrics_token()
    if token is not None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return PlainTextResponse("Unauthorized", 401, {"www-authenticate": "Bearer"})
    try:
        read = await within(DATABASE_SECONDS, from_tables())
    except Exception as error:
        return PlainTextResponse(f"The database does not answer: {type(error).__name__}", 503)
    tables = CollectorRegistry()
    tables.register(_Tables(read))
    return Response(generate_latest(registry) + generate_latest(tables), media_type=MEDIA_TYPE)


def routes() -> fastapi.APIRouter:
    """`GET /metrics` at the app's own port if there is a token, and at an address of its own if there is one."""
    router = fastapi.APIRouter(lifespan=lambda _: listening(), include_in_schema=False)
    if settings.metrics_token() is not None:
        router.add_route(PATH, answer)
    return router


class _Server(uvicorn.Server):
    """A second server in one process, which leaves Ctrl-C to the first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening() -> AsyncIterator[None]:
    """Serve METRICS_LISTEN meanwhile. Raises OSError for an address that is taken."""
    address = settings.metrics_address()
    if address is None:
        yield
        return
    app = fastapi.FastAPI(openapi_url=None)
    app.add_route(PATH, answer)
    server = _Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
