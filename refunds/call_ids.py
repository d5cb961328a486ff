"""The ledger tells the refunds of a run apart by the ids of the model's tool calls, so these must be unique."""

import copy
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
        # A copy, because some providers hand out the same object again: it would be wrapped once more by every run.
        model = copy.copy(self.provider.get_model(model_name))
        ask = model.get_response

        async def get_response(*arguments: Any, **options: Any) -> ModelResponse:
            response = await ask(*arguments, **options)
            for item in response.output:
                if isinstance(item, ResponseFunctionToolCall):
                    item.call_id = f"call_{uuid4().hex}"
            return response

        model.get_response = get_response  # type: ignore[method-assign]
        return model
