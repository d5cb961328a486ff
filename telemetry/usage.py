"""What every call to a model used, as a row of `model_calls`, whatever became of the step that made it.

The worker does not know that it is counted. Its `run_config` is replaced from outside by one whose provider hands out
models that are counted; that function is a piece of its own so that others can wrap it.
"""

import copy
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from agents import ModelResponse, RunConfig
from agents.models.interface import Model, ModelProvider

import settings
import worker
from refunds.call_ids import around
from telemetry import rows
from telemetry.current import Run, current
from telemetry.routing import Router

# Who else wants to hear of each call, by name.
listeners: dict[str, Callable[["Call"], None]] = {}
logger = logging.getLogger("customer-support")


@dataclass(frozen=True)
class Call:
    """One call to a model. Tokens from and to the cache are a part of the input, reasoning is a part of the output."""

    model: str
    api: str | None
    seconds: float
    request_id: str | None = None
    response_id: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    error: str | None = None


class CountedModels(ModelProvider):
    """Another provider's models, each call of which is counted for the run it is made in."""

    def __init__(self, provider: ModelProvider) -> None:
        self.provider = provider

    def get_model(self, model_name: str | None) -> Model:
        """The provider's model. Every answer and every failure passes through here."""
        model = self.provider.get_model(model_name)

        async def counted(
            ask: Callable[..., Awaitable[ModelResponse]], *arguments: Any, **options: Any
        ) -> ModelResponse:
            began = time.monotonic()
            try:
                response = await ask(*arguments, **options)
            except BaseException as error:
                keep(failed(error, model, time.monotonic() - began))
                raise
            keep(answered(response, model, time.monotonic() - began))
            return response

        return around(model, counted)


def install() -> None:
    """Count the worker's calls from now on, and route them if a setting says so. A second time changes nothing."""
    configured: Callable[[], RunConfig] = worker.run_config
    if getattr(configured, "counts", False):
        return

    @functools.wraps(configured)
    def run_config() -> RunConfig:
        # A copy, because the worker makes one for all runs.
        config = copy.copy(configured())
        config.model_provider = CountedModels(config.model_provider)
        easy = settings.model_easy()
        if easy is not None:
            config.model_provider = Router(config.model_provider, easy)
        if settings.otlp_endpoint() is not None:
            # The spans go to the bridge of telemetry/traces.py. To OpenAI they go only with AGENT_TRACING.
            config.tracing_disabled = False
        return config

    run_config.counts = True  # type: ignore[attr-defined]
    worker.run_config = run_config


def answered(response: ModelResponse, model: Model, seconds: float) -> Call:
    """The call behind an answer."""
    usage = response.usage
    # Some providers report more of a part than of the whole, and the table refuses that.
    cached = min(usage.input_tokens_details.cached_tokens or 0, usage.input_tokens)
    written = min(usage.input_tokens_details.cache_write_tokens or 0, usage.input_tokens - cached)
    return Call(
        model=_name(model),
        api=_api(model),
        seconds=seconds,
        request_id=response.request_id,
        response_id=response.response_id,
        input_tokens=usage.input_tokens,
        cached_tokens=cached,
        written_tokens=written,
        output_tokens=usage.output_tokens,
        reasoning_tokens=min(usage.output_tokens_details.reasoning_tokens or 0, usage.output_tokens),
    )


def failed(error: BaseException, model: Model, seconds: float) -> Call:
    """The call behind a failure. Its tokens are not known; that it was made is."""
    request_id = getattr(error, "request_id", None)
    return Call(_name(model), _api(model), seconds, request_id=request_id, error=type(error).__name__)


def keep(call: Call) -> None:
    """Have the call's row written, and never fail: the answer is worth more than its row.

    A call outside any run, such as a developer's own, belongs to no email and is not kept.
    """
    run = current.get()
    if run is None:
        return
    for tell in listeners.values():
        try:
            tell(call)
        except Exception:
            logger.exception("Telemetry failed, and the run goes on")
    rows.here().add(row_of(run, call))


def row_of(run: Run, call: Call) -> rows.Row:
    """The call's row. The run is in its key, because there are servers whose ids repeat after some hundred calls."""
    ids = f"{call.request_id or ''}:{call.response_id or ''}"
    key = f"{run.run_id}:{ids if ids != ':' else uuid4()}"
    return asdict(call) | {"key": key, "run_id": run.run_id, "event_id": run.event_id}


def _name(model: Model) -> str:
    return str(getattr(model, "model", None) or type(model).__name__)


def _api(model: Model) -> str | None:
    """The address of the API that answers; None for a model that is reached in another way."""
    client = getattr(model, "_client", None)
    return str(client.base_url) if client is not None else None
