"""A model that wants the money: it says and calls what the script says, whatever it is told."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from agents import Model, ModelProvider, ModelResponse, Usage
from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
from agents.testing import assistant_message, function_call

# Whose email is being answered; set where the worker begins, for the test alone.
writer: ContextVar[str] = ContextVar("writer", default="nobody")


@dataclass(frozen=True)
class Call:
    """A tool call; the arguments are sent as they stand. Without an id it gets one that nothing else has."""

    name: str
    arguments: str
    call_id: str | None = None


@dataclass(frozen=True)
class Say:
    """A text; `echo` adds everything that the model was shown."""

    text: str
    echo: bool = False


Turn = list[Call | Say]


@dataclass
class Script:
    """What the model does, turn by turn, whoever asks; then says goodbye (`endless`: does it all again)."""

    turns: list[Turn]
    endless: bool = False
    shown: list[tuple[str, str]] = field(default_factory=list)
    """Whose email it was, and what the model was given."""
    _left: Iterator[Turn] | None = None
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def next(self) -> Turn:
        """The next turn."""
        if self._left is None:
            last: Turn = [Say("A colleague will write to you.")]
            self._left = itertools.chain(self.turns, itertools.cycle(self.turns if self.endless else [last]))
        return next(self._left)

    def output(self, said: Call | Say, shown: str) -> TResponseOutputItem:
        """One item as the SDK has it."""
        if isinstance(said, Call):
            return function_call(said.name, said.arguments, call_id=said.call_id or f"call-{next(self._ids)}")
        return assistant_message(f"{said.text} {shown}" if said.echo else said.text, item_id="message")


class ScriptedModel(Model):
    """Follows the script of this moment."""

    script = Script([])

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 (the SDK passes it by this name)
        *_: object,
        **__: object,
    ) -> ModelResponse:
        script = ScriptedModel.script
        shown = f"{system_instructions}\n{input}"
        script.shown.append((writer.get(), shown))
        output = [script.output(said, shown) for said in script.next()]
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError


class Provider(ModelProvider):
    """Is named by MODEL_PROVIDER."""

    def get_model(self, model_name: str | None) -> Model:
        return ScriptedModel()
