"""A cheaper model for easy emails: it answers, and the strong model takes over whenever an email may be more than easy.

Which model reads an email first is the only thing that is decided by looking at its text, and in doubt it is the strong
one. Whatever the easy model wants beyond looking up and replying, a refund above all, is thrown away, and the strong
model is asked the same. So no refund is asked for, and none is carried out, on the easy model's word.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from agents import ItemHelpers, ModelResponse, Tool
from agents.models.default_models import get_default_model_settings
from agents.models.interface import Model, ModelProvider
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from refunds.call_ids import around

LONG_CHARS = 1000
# Words and signs of money and of trouble with it. Every language has its own, so what is not written in plain ASCII and
# a few signs is not taken for easy.
MONEY = re.compile(
    r"[$€£¥]|\d[.,]\d\d\b|\b(?:bill|cent|charg|cost|credit|dollar|euro|fail|fee|invoice|money|order|overcharg|paid|pay"
    r"|price|purchas|receipt|refund|reimburs|subscri|twice|usd|eur|gbp)",
    re.IGNORECASE,
)
PLAIN = re.compile(r"[\x00-\x7f‘’“”–—…]*")  # noqa: RUF001
# The easy model's own words for not knowing.
DOUBT = re.compile(r"\b(?:colleague|sorry|unable|cannot|can't|not sure|unsure|don't know)\b", re.IGNORECASE)
logger = logging.getLogger("customer-support")


class Router(ModelProvider):
    """The models of another provider, of which an easy one answers what is easy. It serves one run of the agent."""

    def __init__(self, provider: ModelProvider, easy: str) -> None:
        self.provider = provider
        self.easy = easy
        # Once the strong model has taken over, it keeps the email.
        self.handed_over = False

    def get_model(self, model_name: str | None) -> Model:
        """The strong model, whose calls are first made to the easy one as long as nothing speaks against it."""
        strong, easy = self.provider.get_model(model_name), self.provider.get_model(self.easy)

        async def ask_one_of_them(
            ask_strong: Callable[..., Awaitable[ModelResponse]],
            system_instructions: str | None,
            input: Any,  # noqa: A002 (the SDK passes it by this name)
            model_settings: Any,
            tools: list[Tool],
            *arguments: Any,
            **options: Any,
        ) -> ModelResponse:
            self.handed_over = self.handed_over or not is_easy(input, tools)
            if not self.handed_over:
                settings = get_default_model_settings(self.easy)
                try:
                    response = await easy.get_response(
                        system_instructions, input, settings, tools, *arguments, **options
                    )
                    if suffices(response, tools):
                        return response
                except Exception as error:
                    logger.warning("The easy model failed, and the strong one takes over: %s", type(error).__name__)
                self.handed_over = True
            return await ask_strong(system_instructions, input, model_settings, tools, *arguments, **options)

        return around(strong, ask_one_of_them)


def is_easy(asked: Any, tools: list[Tool]) -> bool:
    """Whether a conversation may begin, or go on, with the easy model."""
    items: list[dict[str, Any]] = [dict(item) for item in ItemHelpers.input_to_new_input_list(asked)]
    called = {str(item.get("name")) for item in items if item.get("type") == "function_call"}
    if called - harmless(tools):
        return False
    text = "\n".join(_text(item.get("content")) for item in items if item.get("role") == "user")
    return len(text) <= LONG_CHARS and PLAIN.fullmatch(text) is not None and MONEY.search(text) is None


def suffices(response: ModelResponse, tools: list[Tool]) -> bool:
    """Whether the easy model's answer may stand: a lookup, or a reply without money, refusal or doubt in it."""
    said: list[str] = []
    for item in response.output:
        if isinstance(item, ResponseFunctionToolCall):
            if item.name not in harmless(tools):
                return False
            said.append("a lookup")
        elif isinstance(item, ResponseOutputMessage):
            for part in item.content:
                if not isinstance(part, ResponseOutputText) or MONEY.search(part.text) or DOUBT.search(part.text):
                    return False
                said.append(part.text.strip())
        elif item.type != "reasoning":
            return False
    return any(said)


def harmless(tools: list[Tool]) -> set[str]:
    """The names of the tools that need no person's approval."""
    return {tool.name for tool in tools if getattr(tool, "needs_approval", True) is False}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or [] if isinstance(part, dict))
