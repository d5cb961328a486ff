"""The ledger tells the refunds of a run apart by the ids of the model's tool calls, so these must be unique."""

import copy
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any
from uuid import uuid4

from agents import ModelResponse
from agents.models.interface import Model, ModelProvider
from openai.types.responses import ResponseFunctionToolCall


class OwnCallIds(ModelProvider):
    """Gives each tool call an id of its own, because models reuse and omit ids."""

    def __init__(self, provider: ModelProvider) -> None:
        self.provider = provider

    def get_model(self, model_name: str | None) -> Model:
        """The provider's model. What it answers passes through here before the SDK sees it."""
        return around(self.provider.get_model(model_name), with_own_ids)


def around(model: Model, call: Callable[..., Coroutine[Any, Any, ModelResponse]]) -> Model:
    """A model whose calls go to `call`, together with the original's `get_response` as the first argument.

    It is a copy, because some providers hand out the same object again: every run would wrap it once more.
    """
    wrapped = copy.copy(model)
    wrapped.get_response = partial(call, model.get_response)  # type: ignore[method-assign]
    return wrapped


async def with_own_ids(ask: Callable[..., Awaitable[ModelResponse]], *arguments: Any, **options: Any) -> ModelResponse:
    """Ask the model, and give the tool calls of its answer new ids."""
    response = await ask(*arguments, **options)
    for item in response.output:
        if isinstance(item, ResponseFunctionToolCall):
            item.call_id = f"call_{uuid4().hex}"
    return response
