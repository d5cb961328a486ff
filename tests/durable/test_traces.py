"""One trace for each email, as an OpenTelemetry collector in this process gets it. Runs without any account."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import agents
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import inngest_app
from telemetry import hooks, traces, usage
from telemetry.current import story_of, trace_id
from telemetry.middleware import observing
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.serving import listening
from web import Event

PRIVATE = ("charged", "@", "A-1001", "4900", "cust_002")


class Collector:
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.app = Starlette(routes=[Route("/v1/traces", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        sent = ExportTraceServiceRequest.FromString(await request.body())
        self.spans += [
            span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        return Response(b"", media_type="application/x-protobuf")

    def of(self, event_id: str) -> list[Any]:
        """The spans of an email's trace, in the order in which they began."""
        mine = [span for span in self.spans if span.trace_id.hex() == trace_id(event_id)]
        return sorted(mine, key=lambda span: span.start_time_unix_nano)


class Tracing:
    """An app whose processes come and go, and what they sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.collector = Collector()
        self._monkeypatch = monkeypatch
        self._process: traces.Traces | None = None

    def restart(self) -> None:
        """Another process: nothing of the tracing of the one before is left."""
        self._process = traces.install()
        self._monkeypatch.setitem(usage.listeners, "traces", self._process.count_call)
        self._monkeypatch.setattr(inngest_app.client, "middleware", [observing([self._process])])

    async def flush(self) -> None:
        """Wait until all was sent."""
        assert self._process is not None
        await asyncio.to_thread(self._process.provider.force_flush)


@pytest.fixture
async def tracing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tracing]:
    tracing = Tracing(monkeypatch)
    async with listening(tracing.collector.app) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        for module, function, _ in traces.WRAPPED:
            monkeypatch.setattr(module, function, getattr(module, function))
        tracing.restart()
        yield tracing
        await tracing.flush()
        agents.set_trace_processors([])


def attributes(span: Any) -> dict[str, str]:
    return {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}


async def test_an_emails_trace_goes_from_the_door_over_the_wait_and_a_restart_to_the_reply(
    engine: Engine, tracing: Tracing
) -> None:
    data = {"customer_id": "cust_002", "email_text": "I was charged twice for order A-1001, $49.00 too much."}
    await inngest_app.send([Event(id="<mail-1@example.com>", name="customer/email.received", data=data)])
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.settle()
    await tracing.flush()
    tracing.restart()
    decision = {"approved": True, "request_id": "<mail-1@example.com>"}
    await inngest_app.send([Event(id="decision-1", name="refund/approval.decided", data=decision)])
    await engine.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})
    await engine.settle()
    await tracing.flush()
    spans = tracing.collector.of("<mail-1@example.com>")
    names = [span.name for span in spans]
    for name in (
        *("email", "send customer/email.received", "audit-received", "run-agent", "notify-reviewer"),
        *("send refund/approval.decided", "read-decisions", "resume-agent", "audit-sent"),
        *("model rule-based", "tool lookup_customer", "tool issue_refund", "database", "chat"),
    ):
        assert name in names, names
    by_id = {span.span_id: span for span in spans}
    (first,) = [span for span in spans if not span.parent_span_id]
    assert (first.name, attributes(first)["outcome"]) == ("email", "answered")
    assert {span.parent_span_id for span in spans} <= by_id.keys() | {b""}
    below_the_tool = [
        span for span in spans if by_id[span.parent_span_id or span.span_id].name == "tool lookup_customer"
    ]
    above = below_the_tool[:1]
    while above[-1].parent_span_id:
        above.append(by_id[above[-1].parent_span_id])
    way = ["database", "tool lookup_customer", "turn", "agent customer-support", "run-agent", "email"]
    assert [span.name for span in above] == way
    run_ids = {attributes(span)["inngest.run_id"] for span in spans if "inngest.step" in attributes(span)}
    assert len(run_ids) == 1
    assert "waits" in {attributes(span).get("outcome") for span in spans}
    said = [text for span in spans for text in (span.name, span.status.message, *attributes(span).values())]
    assert [text for text in said for private in PRIVATE if private in text] == []
    assert not [span for span in spans if span.events]


async def test_a_failed_try_is_a_span_and_a_failed_email_ends_its_trace(
    engine: Engine, tracing: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:rate-limited")
    event_id = await engine.email("Hello, how long does shipping to Norway take?")
    await engine.settle()
    await engine.advance(hours=6)
    await engine.until(actions, {"message_received": 1, "run_failed": 1})
    await engine.settle()
    await tracing.flush()
    spans = tracing.collector.of(event_id)
    tries = [attributes(span) for span in spans if span.name == "run-agent"]
    assert [(one["inngest.attempt"], one["outcome"]) for one in tries] == [(str(n), "failed") for n in range(5)]
    assert {one["error.type"] for one in tries} == {"RetryAfterError"}
    (first,) = [span for span in spans if not span.parent_span_id]
    assert (first.name, attributes(first)["outcome"]) == ("email", "failed")


def test_every_process_gives_a_story_the_same_trace() -> None:
    failed = {"function_id": "f", "run_id": "r", "event": {"id": "mail-1", "data": {}}}
    assert {story_of("x", failed), story_of("x", {"request_id": "mail-1"}), story_of("mail-1", {})} == {"mail-1"}
    assert trace_id("mail-1") == "bff196e4070ee3d7e2c465e551e23133"


def test_without_a_collector_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    client = inngest_app.client
    (made,) = hooks.middleware()
    assert made(client, None)._observers == []
