"""The two ways of OpenAI's API to ask a model, over HTTP: `/v1/responses` and `/v1/chat/completions`, streamed or not.

The shapes are documented at https://platform.openai.com/docs/api-reference. Every key and every model's name is
accepted; a name like `rule-based:outage` chooses a model with that bad habit (`offline/misbehaviour.py`).
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import openai
from agents import ModelResponse, ModelSettings, ModelTracing, UserError
from agents.testing import ModelStep, ScriptedModel
from openai.types.responses import Response as ModelAnswer
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from offline.model import GOOD, RuleBasedProvider
from offline.openai_api.requests import ApiError, check_chat, check_response
from offline.openai_api.tools import Object, Toolbox

MAX_REMEMBERED = 1_000
"""Conversations that `previous_response_id` may go on with; the oldest is forgotten first."""


@dataclass
class Question:
    """What a program asks the model, whichever way it came."""

    model: str
    instructions: str
    items: list[Object]
    tools: list[Object]
    schema: Object | None
    """The JSON schema that the answer's text has to fulfil, or None for plain text."""


def application() -> Starlette:
    """Return the API as an app. What it remembers of conversations ends with it."""
    api = _Api()
    return Starlette(
        routes=[
            Route("/v1/responses", api.responses, methods=["POST"]),
            Route("/v1/chat/completions", api.chat_completions, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/{path:path}", api.unknown, methods=["GET", "POST", "DELETE"]),
        ],
        exception_handlers={ApiError: _refusal, HTTPException: _not_served, Exception: _failure},
    )


class _Api:
    def __init__(self) -> None:
        self._conversations: dict[str, list[Object]] = {}
        """All items of a conversation, by the id of the response with which it ends."""

    async def responses(self, request: Request) -> Response:
        body = await _body(request)
        check_response(body)
        earlier = self._conversations.get(body.get("previous_response_id") or "")
        if body.get("previous_response_id") and earlier is None:
            raise ApiError(400, "There is no such response.", "previous_response_not_found", "previous_response_id")
        question = _question(body, [*(earlier or []), *_items(body["input"])])
        answer = await _ask(question)
        answer_id = f"resp_{uuid4().hex}"
        said = [item.model_dump(mode="json") for item in answer.output]
        self._conversations[answer_id] = [*question.items, *said]
        if len(self._conversations) > MAX_REMEMBERED:
            self._conversations.pop(next(iter(self._conversations)))
        if body.get("stream"):
            return StreamingResponse(_response_events(answer, answer_id, body), media_type="text/event-stream")
        return JSONResponse(_response_body(answer, answer_id, body))

    async def chat_completions(self, request: Request) -> Response:
        body = await _body(request)
        check_chat(body)
        answer = await _ask(_chat_question(body))
        if body.get("stream"):
            return StreamingResponse(_chat_events(answer, body), media_type="text/event-stream")
        message, reason = _chat_message(answer)
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return JSONResponse(_chat_body(body, "chat.completion", [choice]) | {"usage": _chat_usage(answer)})

    async def models(self, _: Request) -> Response:
        model = {"id": GOOD, "object": "model", "created": 0, "owned_by": "offline"}
        return JSONResponse({"object": "list", "data": [model]})

    async def unknown(self, request: Request) -> Response:
        raise ApiError(404, f"This stand-in for OpenAI's API does not serve {request.url.path}.")


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    kind = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = {"message": str(error), "type": kind, "param": error.param, "code": error.code}
    return JSONResponse({"error": body}, error.status, error.headers)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _refusal(request, ApiError(error.status_code, f"{error.detail} ({request.method} {request.url.path})"))


async def _failure(request: Request, error: Exception) -> Response:
    return await _refusal(request, ApiError(500, f"The stand-in for OpenAI's API has failed: {error!r}"))


async def _body(request: Request) -> Object:
    """Return the request's JSON object. Raises ApiError if it is none."""
    try:
        body: Any = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request. It has to be an object.")
    return body


async def _ask(question: Question) -> ModelResponse:
    """Let the rule-based model answer. Raises ApiError for a misbehaviour that is an error of the API."""
    conversation = f"{json.dumps(question.items)} {question.instructions}"
    toolbox = Toolbox(question.tools, conversation)
    name = question.model if question.model.partition(":")[0] == GOOD else GOOD
    try:
        model = RuleBasedProvider().get_model(name)
        answer: ModelResponse = await model.get_response(
            question.instructions,
            toolbox.understood(question.items),  # type: ignore[arg-type]
            ModelSettings(),
            list(toolbox.tools()),
            None,
            [],
            ModelTracing.DISABLED,
            previous_response_id=None,
            conversation_id=None,
            prompt=None,
        )
    except UserError as error:
        raise ApiError(404, str(error), "model_not_found") from error
    except openai.APIStatusError as error:
        raise ApiError(error.status_code, error.message, error.code, headers=dict(error.response.headers)) from error
    except openai.APIConnectionError as error:
        raise ApiError(503, error.message) from error
    for item in answer.output:
        if isinstance(item, ResponseFunctionToolCall):
            item.name, item.arguments = toolbox.call(item.name, item.arguments)
        elif isinstance(item, ResponseOutputMessage) and question.schema is not None:
            for part in item.content:
                if isinstance(part, ResponseOutputText):
                    part.text = toolbox.filled(question.schema, part.text)
    return answer


# /v1/responses


def _question(body: Object, items: list[Object]) -> Question:
    shape = (body.get("text") or {}).get("format") or {}
    system = [_text(item) for item in items if item.get("role") in ("system", "developer")]
    return Question(
        model=str(body.get("model") or GOOD),
        instructions="\n".join([str(body.get("instructions") or ""), *system]),
        items=items,
        tools=[tool for tool in body.get("tools") or [] if tool.get("type") == "function"],
        schema=shape.get("schema") if shape.get("type") == "json_schema" else None,
    )


def _items(asked: str | list[Object]) -> list[Object]:
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else asked


def _text(message: Object) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text") or "" for part in content)


def _response_body(answer: ModelResponse, answer_id: str, asked: Object) -> Object:
    usage = answer.usage
    body = ModelAnswer.model_validate(
        {
            "id": answer_id,
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "model": asked.get("model") or GOOD,
            "instructions": asked.get("instructions"),
            "output": [item.model_dump(mode="json") for item in answer.output],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "previous_response_id": asked.get("previous_response_id"),
            "usage": {
                "input_tokens": usage.input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.total_tokens,
            },
        }
    )
    # What was asked is told as it was asked, also when this version of the openai package does not know it.
    echoed = {"tool_choice": asked.get("tool_choice") or "auto", "tools": asked.get("tools") or []}
    return body.model_dump(mode="json") | echoed


async def _response_events(answer: ModelResponse, answer_id: str, asked: Object) -> AsyncIterator[str]:
    whole = _response_body(answer, answer_id, asked)
    script = ScriptedModel([ModelStep(output=answer.output, usage=answer.usage)])
    options: Object = {"previous_response_id": None, "conversation_id": None, "prompt": None}
    events = script.stream_response(None, "", ModelSettings(), [], None, [], ModelTracing.DISABLED, **options)
    async for event in events:
        told = event.model_dump(mode="json")
        if "response" in told:
            finished = told["type"] == "response.completed"
            begun: Object = {"status": "in_progress", "output": [], "usage": None}
            told["response"] = whole if finished else whole | begun
        yield f"event: {told['type']}\ndata: {json.dumps(told)}\n\n"


# /v1/chat/completions


def _chat_question(body: Object) -> Question:
    items: list[Object] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            output = {"type": "function_call_output", "call_id": message["tool_call_id"], "output": _text(message)}
            items.append(output)
            continue
        items.append({"role": message["role"], "content": _text(message)})
        calls = message.get("tool_calls") or []
        items += [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]
    shape = body.get("response_format") or {}
    tools = [{"type": "function", **tool["function"]} for tool in body.get("tools") or [] if "function" in tool]
    question = _question({"model": body.get("model"), "tools": tools}, items)
    question.schema = shape.get("json_schema", {}).get("schema") if shape.get("type") == "json_schema" else None
    return question


def _chat_message(answer: ModelResponse) -> tuple[Object, str]:
    """Return the answer as a chat message, and why the model stopped."""
    message: Object = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Object] = []
    for item in answer.output:
        if isinstance(item, ResponseFunctionToolCall):
            function = {"name": item.name, "arguments": item.arguments}
            calls.append({"id": item.call_id, "type": "function", "function": function})
        elif isinstance(item, ResponseOutputMessage):
            for part in item.content:
                if isinstance(part, ResponseOutputText):
                    message["content"] = part.text
                else:
                    message["refusal"] = part.refusal
    return (message | {"tool_calls": calls}, "tool_calls") if calls else (message, "stop")


def _chat_body(asked: Object, kind: str, choices: list[Object]) -> Object:
    made = int(time.time())
    model = asked.get("model") or GOOD
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": made, "model": model, "choices": choices}


def _chat_usage(answer: ModelResponse) -> Object:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def _chat_events(answer: ModelResponse, asked: Object) -> Iterator[str]:
    message, reason = _chat_message(answer)
    deltas: list[Object] = [{"role": "assistant"}]
    deltas += [{"content": f"{word} "} for word in (message["content"] or "").split(" ")]
    if message["content"]:
        deltas[-1]["content"] = deltas[-1]["content"][:-1]
    else:
        deltas.pop()
    if message["refusal"]:
        deltas.append({"refusal": message["refusal"]})
    for number, call in enumerate(message.get("tool_calls", [])):
        deltas.append({"tool_calls": [{"index": number, **call}]})
    body = _chat_body(asked, "chat.completion.chunk", [])
    for delta in deltas:
        yield _chunk(body | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _chunk(body | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _chunk(body | {"usage": _chat_usage(answer)})
    yield "data: [DONE]\n\n"


def _chunk(body: Object) -> str:
    return f"data: {json.dumps(body)}\n\n"
