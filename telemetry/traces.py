"""One OpenTelemetry trace for each email, from the door to the reply, over the wait, restarts and deploys.

The ids of the trace and of its first span are made of the id of the event that brought the email, so nothing has to be
carried through events, steps or tables, and nothing that is lost or forged can break or join traces. What is recorded
are ids, names, counts and types of errors: no text, no address, no message of an exception.

The agent's turns and tools come from the tracing of the Agents SDK, through a bridge of its own. Database, mail and
chat are wrapped from outside, as instrumentation does it, and the calls to models are those that are counted.
"""

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any

import agents
import inngest
from opentelemetry import context
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

import db
import settings
from outbound import chat, mail
from telemetry.current import Run, story_of, trace_id
from telemetry.middleware import End
from telemetry.usage import Call

# A process that is killed takes the spans of so many milliseconds with it.
DELAY_MILLISECONDS = 500
EMAIL = "handle-customer-email"
ENDS_AN_EMAIL = {EMAIL, "record-failed-email"}
# The module, the function and the name of its spans.
WRAPPED = ((db, "_once", "database"), (mail, "reply", "mail"), (chat, "post", "chat"))
# The kinds of spans of the Agents SDK that are taken over; it has more, about the sandbox for one.
AGENT_SPANS = {"agent": "agent", "turn": "turn", "function": "tool"}
_wanted: ContextVar[tuple[int, int] | None] = ContextVar("the ids of the next span", default=None)


class _Ids(RandomIdGenerator):
    """Random ids, except for the first span of a story."""

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return wanted[0] if wanted else super().generate_trace_id()

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return wanted[1] if wanted else super().generate_span_id()


def first_span(story: str) -> SpanContext:
    """The first span of a story, under which all others stand; it is sent last, when its end is known."""
    digits = trace_id(story)
    return SpanContext(int(digits, 16), int(digits[:16], 16) or 1, is_remote=True, trace_flags=TraceFlags(1))


class Traces:
    """The middleware's observer, the wrapper of database, mail and chat, and the bridge from the Agents SDK."""

    def __init__(self) -> None:
        endpoint = f"{settings.otlp_endpoint()}/v1/traces"
        self.provider = TracerProvider(
            resource=Resource.create({"service.name": "customer-support"}), id_generator=_Ids()
        )
        exporter = OTLPSpanExporter(endpoint=endpoint)
        self.provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MILLISECONDS))
        self.tracer = self.provider.get_tracer("customer-support")

    # The engine's calls

    def began(self, run: Run, event: inngest.Event, headers: Mapping[str, str]) -> None:
        """Begin a span for this call. It gets its name when it ends, because only then its step is known."""
        parent = otel.set_span_in_context(NonRecordingSpan(first_span(run.story)), context.Context())
        # An engine that traces, too, says in its headers where this call stands in its own trace.
        engine = otel.get_current_span(extract(headers)).get_span_context()
        span = self.tracer.start_span(
            run.function_id,
            parent,
            SpanKind.CONSUMER,
            {
                "inngest.function": run.function_id,
                "inngest.run_id": run.run_id,
                "inngest.attempt": run.attempt,
                "inngest.request_id": run.request_id or "",
            },
            [Link(engine)] if engine.is_valid else [],
        )
        # The call has a task of its own, so this needs no end.
        context.attach(otel.set_span_in_context(span))

    def ended(self, run: Run, event: inngest.Event, end: End) -> None:
        """End the span of this call, and send the first one if the story ends with it."""
        span = otel.get_current_span()
        if end.step is not None:
            span.update_name(end.step)
            span.set_attribute("inngest.step", end.step)
        outcome = "waits" if end.waits else "done"
        _close(span, end.error, outcome)
        is_over = end.step is None and end.error is None and not end.waits
        if is_over and (run.story == run.event_id or run.function_id in ENDS_AN_EMAIL):
            self._send_first(run, event)

    def _send_first(self, run: Run, event: inngest.Event) -> None:
        first = first_span(run.story)
        begun = event.data.get("event") if run.function_id != EMAIL else None
        sent_ms = begun.get("ts") if isinstance(begun, dict) else event.ts
        wanted = _wanted.set((first.trace_id, first.span_id))
        try:
            span = self.tracer.start_span(
                "email" if run.function_id in ENDS_AN_EMAIL else run.function_id,
                context.Context(),
                SpanKind.SERVER,
                {"inngest.run_id": run.run_id, "inngest.function": run.function_id},
                start_time=int(sent_ms * 1_000_000) if isinstance(sent_ms, int) and sent_ms > 0 else None,
            )
        finally:
            _wanted.reset(wanted)
        failed = run.function_id in ENDS_AN_EMAIL - {EMAIL}
        span.set_attribute("outcome", "failed" if failed else "answered" if run.function_id == EMAIL else "done")
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end()

    def sends(self, events: Sequence[inngest.Event]) -> None:
        """A span for each event, in the trace of the story that it belongs to: the door, or a decision."""
        here = otel.get_current_span().get_span_context()
        for event in events:
            if not event.id:
                continue
            story = story_of(event.id, event.data)
            parent = otel.set_span_in_context(NonRecordingSpan(first_span(story)), context.Context())
            links = [Link(here)] if here.is_valid else []
            self.tracer.start_span(f"send {event.name}", parent, SpanKind.PRODUCER, links=links).end()

    # Models, database, mail and chat

    def count_call(self, call: Call) -> None:
        """A span for a call to a model that is over."""
        if not otel.get_current_span().is_recording():
            return
        now = time.time_ns()
        span = self.tracer.start_span(
            f"model {call.model}", kind=SpanKind.CLIENT, start_time=now - int(call.seconds * 1e9)
        )
        span.set_attributes(
            {
                "gen_ai.request.model": call.model,
                "gen_ai.response.id": call.response_id or "",
                "gen_ai.usage.input_tokens": call.input_tokens,
                "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
                "gen_ai.usage.output_tokens": call.output_tokens,
            }
        )
        _close(span, call.error, "done")

    def wrap(self, what: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        """`what` with a span of its own wherever there is a trace already."""

        @functools.wraps(what)
        async def traced(*arguments: Any, **options: Any) -> Any:
            if not otel.get_current_span().is_recording():
                return await what(*arguments, **options)
            span = self.tracer.start_span(name, kind=SpanKind.CLIENT)
            token = context.attach(otel.set_span_in_context(span))
            error: BaseException | None = None
            try:
                return await what(*arguments, **options)
            except BaseException as raised:
                error = raised
                raise
            finally:
                context.detach(token)
                _close(span, error, "done")

        return traced


class AgentBridge(agents.TracingProcessor):
    """The agent, its turns and its tools, as the Agents SDK tells of them, below the step that runs the agent.

    Of what the SDK's spans hold, only the names are taken.
    """

    def __init__(self, tracer: otel.Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, tuple[Span, Token[context.Context]]] = {}

    def on_trace_start(self, trace: agents.Trace) -> None:
        """A run of the agent needs no span besides its step's."""

    def on_trace_end(self, trace: agents.Trace) -> None:
        """See above."""

    def on_span_start(self, span: agents.Span[Any]) -> None:
        """Begin a span, if a step is traced, and let what happens inside it stand below it."""
        kind = AGENT_SPANS.get(span.span_data.type)
        if kind is None or not otel.get_current_span().is_recording():
            return
        name = getattr(span.span_data, "name", None)
        begun = self._tracer.start_span(f"{kind} {name}" if name else kind)
        self._open[span.span_id] = begun, context.attach(otel.set_span_in_context(begun))

    def on_span_end(self, span: agents.Span[Any]) -> None:
        """End it."""
        if span.span_id not in self._open:
            return
        begun, token = self._open.pop(span.span_id)
        context.detach(token)
        begun.set_attribute("outcome", "failed" if span.error is not None else "done")
        if span.error is not None:
            begun.set_status(StatusCode.ERROR)
        begun.end()

    def shutdown(self) -> None:
        """The provider is shut down by its owner."""

    def force_flush(self) -> None:
        """The provider sends by itself."""


def _close(span: Span, error: BaseException | str | None, outcome: str) -> None:
    """End a span. Of an error only the type is told: its message may hold anything."""
    span.set_attribute("outcome", "failed" if error is not None else outcome)
    if error is not None:
        span.set_attribute("error.type", error if isinstance(error, str) else type(error).__name__)
        span.set_status(StatusCode.ERROR)
    span.end(time.time_ns())


def install() -> Traces:
    """Trace from now on, and send to the collector that the settings name."""
    traces = Traces()
    for module, function, name in WRAPPED:
        original = getattr(module, function)
        original = getattr(original, "__wrapped__", original)
        setattr(module, function, traces.wrap(original, name))
    bridge = AgentBridge(traces.tracer)
    if settings.agent_tracing():
        agents.add_trace_processor(bridge)
    else:
        # Without the SDK's own processor, which would send to OpenAI.
        agents.set_trace_processors([bridge])
    return traces
