"""A model that needs no account. It has the Agents SDK's `Model` interface and follows the rules in `offline/rules.py`.

The worker gets it by settings alone: MODEL_PROVIDER=offline.model:RuleBasedProvider and MODEL=rule-based. The model
`rule-based:NAME` has one bad habit, see `offline/misbehaviour.py`. The model costs nothing, needs no network, and gives
the same answer to the same input every time.
"""

import hashlib
import inspect
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from agents import ItemHelpers, Model, ModelProvider, ModelResponse, Tool, Usage, UserError
from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import ResponseOutputMessage, ResponseOutputRefusal

from offline.misbehaviour import MISBEHAVIOURS, Refusal, once
from offline.rules import Answer, Behaviour, Call, Turn, good

GOOD = "rule-based"
_ONCE = "-once"


@dataclass(eq=False)
class RuleBasedModel(Model):
    """Answers by rules. `behaviour` decides what to answer, and this class translates from and to the SDK's items."""

    model: str
    behaviour: Behaviour

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 (the SDK passes it by this name)
        model_settings: object,
        tools: list[Tool],
        *_: object,
        **__: object,
    ) -> ModelResponse:
        """Answer one turn. Raises what a misbehaviour raises, for instance openai.RateLimitError."""
        turn = Turn(_email(input), _calls(input), tools)
        answer = self.behaviour(turn)
        if inspect.isawaitable(answer):
            answer = await answer
        output = _output(answer, turn)
        written = sum(len(item.model_dump_json(include={"content", "name", "arguments"})) for item in output)
        read = len(system_instructions or "") + len(json.dumps(input, default=str))
        # As a rule of thumb, four characters are one token.
        asked, said = read // 4, written // 4
        usage = Usage(requests=1, input_tokens=asked, output_tokens=said, total_tokens=asked + said)
        return ModelResponse(output=output, usage=usage, response_id=None)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        """Answer one turn, as the events of a streamed response."""
        response = await self.get_response(*args, **kwargs)
        step = ModelStep(output=response.output, usage=response.usage)
        async for event in ScriptedModel([step]).stream_response(*args, **kwargs):
            yield event


class RuleBasedProvider(ModelProvider):
    """Finds the rule-based model, well-behaved or not, by its name."""

    _models: dict[str, RuleBasedModel] = {}  # noqa: RUF012 (shared by all providers, because "-once" has to be remembered after a run)

    def get_model(self, model_name: str | None) -> Model:
        """Return the model called `rule-based`, `rule-based:NAME` or `rule-based:NAME-once`. None means `rule-based`.

        Raises agents.UserError, which lists the names, if there is no such model.
        """
        name = model_name or GOOD
        if name not in self._models:
            self._models[name] = RuleBasedModel(name, _behaviour(name))
        return self._models[name]


def _behaviour(name: str) -> Behaviour:
    family, _, habit = name.partition(":")
    if family == GOOD and not habit:
        return good
    plain = habit.removesuffix(_ONCE)
    if family != GOOD or plain not in MISBEHAVIOURS:
        names = ", ".join(f"{GOOD}:{known}" for known in MISBEHAVIOURS)
        raise UserError(f"No offline model {name!r}. Known: {GOOD}, {names}; or one of these with {_ONCE} at its end.")
    if habit.endswith(_ONCE):
        return once(MISBEHAVIOURS[plain])
    return MISBEHAVIOURS[plain]


def _email(items: str | list[TResponseInputItem]) -> str:
    messages = [item for item in ItemHelpers.input_to_new_input_list(items) if item.get("role") == "user"]
    texts: list[str] = []
    for message in messages:
        content: Any = message.get("content")
        texts += [content] if isinstance(content, str) else [part.get("text", "") for part in content or []]
    return "\n".join(texts)


def _calls(items: str | list[TResponseInputItem]) -> list[Call]:
    rows: list[dict[str, Any]] = [dict(item) for item in ItemHelpers.input_to_new_input_list(items)]
    outputs = {row["call_id"]: row["output"] for row in rows if row.get("type") == "function_call_output"}
    return [
        Call(row["name"], row["arguments"], _text(outputs.get(row["call_id"])))
        for row in rows
        if row.get("type") == "function_call"
    ]


def _text(output: object) -> str | None:
    return output if isinstance(output, str) or output is None else json.dumps(output, default=str)


def _output(answer: Answer, turn: Turn) -> list[TResponseOutputItem]:
    """Return the answer as the SDK's items. The same conversation always gets the same ids."""
    key = f"{turn.email}|{turn.customer.get('email')}|{len(turn.calls)}"
    if isinstance(answer, Refusal):
        refusal = ResponseOutputRefusal(refusal=str(answer), type="refusal")
        message = ResponseOutputMessage(
            id=_id("msg", key), content=[refusal], role="assistant", status="completed", type="message"
        )
        return [message]
    if isinstance(answer, str):
        return [assistant_message(answer, item_id=_id("msg", key))]
    return [
        function_call(call.name, call.arguments, call_id=_id("call", f"{key}|{index}"))
        for index, call in enumerate(answer)
    ]


def _id(kind: str, key: str) -> str:
    return f"{kind}_{hashlib.sha256(key.encode()).hexdigest()[:24]}"
