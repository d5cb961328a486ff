"""OpenAI's HTTP API without OpenAI: the real openai and openai-agents packages ask it, and notice no difference.

The tools are a learner's, with names and arguments of their own.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunResult,
    RunResultStreaming,
    function_tool,
)
from pydantic import BaseModel

from offline.openai_api.server import application
from offline.openai_api.tools import refund_result
from tests.serving import listening

TWICE = "From: cust_002\n\nI was charged twice for order A-1001, $49.00 too much. Please help!"
MODELS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with listening(application()) as address:
        yield f"{address}/v1"


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key="offline", max_retries=0) as client:
        yield client


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest, client: openai.AsyncOpenAI) -> Model:
    made: Model = MODELS[request.param](model="gpt-5.4-mini", openai_client=client)
    return made


class Shop:
    """A learner's tools, and what they were called with."""

    def __init__(self, answer: Any = "Refunded.") -> None:
        self.looked_up: list[str] = []
        self.paid: list[tuple[str, float, str]] = []
        self.answer = answer

    def agent(self, model: Model) -> Agent[None]:
        @function_tool
        def get_customer(customer_id: str) -> str:
            """Get a customer."""
            self.looked_up.append(customer_id)
            return "{'id': 'cust_002', 'email': 'grace@example.com', 'tier': 'pro'}"

        @function_tool(needs_approval=True)
        def refund_order(order: str, amount: float, reason: str, currency: str) -> Any:
            """Refund an order, in dollars."""
            self.paid.append((order, amount, currency))
            return self.answer

        return Agent(name="support", model=model, tools=[get_customer, refund_order])


async def run(agent: Agent[Any], start: Any) -> RunResult:
    return await Runner.run(agent, start, run_config=RunConfig(tracing_disabled=True))


async def test_a_build_with_tools_of_its_own_pauses_pays_and_says_so(model: Model) -> None:
    shop = Shop()
    agent = shop.agent(model)
    paused = await run(agent, TWICE)
    (refund,) = paused.interruptions
    assert (refund.name, json.loads(refund.arguments or "")["order"]) == ("refund_order", "A-1001")
    assert shop.looked_up == ["cust_002"]
    state = paused.to_state()
    state.approve(refund)
    result = await run(agent, state)
    assert shop.paid == [("A-1001", 49.0, "usd")]
    assert result.final_output.startswith("Hi Grace, I am sorry for the trouble! We have refunded $49.00")
    assert result.context_wrapper.usage.total_tokens > 0


async def test_a_refused_refund_is_not_said_to_be_paid(model: Model) -> None:
    shop = Shop()
    agent = shop.agent(model)
    paused = await run(agent, TWICE)
    state = paused.to_state()
    state.reject(paused.interruptions[0])
    result = await run(agent, state)
    assert shop.paid == []
    assert "no money could be sent back for order A-1001" in result.final_output


async def test_a_run_can_be_streamed(model: Model) -> None:
    result: RunResultStreaming = Runner.run_streamed(
        Shop().agent(model), "How do I reset my password?", run_config=RunConfig(tracing_disabled=True)
    )
    heard = [_text_of(event) async for event in result.stream_events()]
    assert "".join(heard) == result.final_output
    assert "password" in result.final_output


def _text_of(event: Any) -> str:
    is_text = event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    return str(event.data.delta) if is_text else ""


async def test_a_streamed_tool_call_is_executed(model: Model) -> None:
    shop = Shop()
    result = Runner.run_streamed(shop.agent(model), TWICE, run_config=RunConfig(tracing_disabled=True))
    async for _ in result.stream_events():
        pass
    assert shop.looked_up == ["cust_002"]
    assert [call.name for call in result.interruptions] == ["refund_order"]


class Triage(BaseModel):
    answer: str
    urgent: bool
    score: int


async def test_a_structured_output_fulfils_its_schema(model: Model) -> None:
    agent = Agent(name="triage", model=model, output_type=Triage)
    result = await run(agent, "Where is my invoice?")
    assert "invoice" in result.final_output_as(Triage).answer


async def test_the_synchronous_client_and_its_environment_variables_do(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "offline")
    async with openai.AsyncOpenAI() as client:
        answer = await client.responses.create(model="gpt-5.4", input="Thank you, I love it!")
        assert "kind words" in answer.output_text
        assert answer.model == "gpt-5.4"
        assert [model.id async for model in client.models.list()] == ["rule-based"]


async def test_a_conversation_goes_on_from_an_earlier_response(client: openai.AsyncOpenAI) -> None:
    tool: Any = {"type": "function", "name": "lookup_customer", "parameters": {"type": "object", "properties": {}}}
    first = await client.responses.create(model="m", input="Where is my invoice?", tools=[tool])
    (call,) = first.output
    assert call.type == "function_call"
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": '{"email": "ada@example.com"}'}]
    second = await client.responses.create(model="m", input=output, tools=[tool], previous_response_id=first.id)
    assert second.output_text.startswith("Hi Ada, You find every invoice")
    with pytest.raises(openai.BadRequestError, match="no such response"):
        await client.responses.create(model="m", input="x", previous_response_id="resp_gone")


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("rule-based:rate-limited", openai.RateLimitError),
        ("rule-based:bad-request", openai.BadRequestError),
        ("rule-based:server-error", openai.InternalServerError),
        ("rule-based:outage", openai.InternalServerError),
        ("rule-based:nonsense", openai.NotFoundError),
    ],
)
async def test_a_bad_habit_is_an_error_of_the_api(
    client: openai.AsyncOpenAI, model: str, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as raised:
        await client.responses.create(model=model, input="Hello")
    if error is openai.RateLimitError:
        assert raised.value.response.headers["retry-after"] == "7"


async def test_what_is_not_served_says_that_this_is_a_stand_in(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.post("/embeddings", json={})
        assert answer.status_code == 404
        assert "stand-in" in answer.json()["error"]["message"]
        assert (await http.post("/responses", content=b"nonsense")).status_code == 400
        assert (await http.put("/responses", json={})).json()["error"]["type"] == "invalid_request_error"


CHAT, RESPONSES = "/chat/completions", "/responses"
HELLO = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        (CHAT, {"messages": [HELLO]}, "model", "missing_required_parameter"),
        (CHAT, {}, "messages", "missing_required_parameter"),
        (CHAT, {"messages": []}, "messages", "empty_array"),
        (CHAT, {"messages": "Hello"}, "messages", "invalid_type"),
        (CHAT, {"messages": ["Hello"]}, "messages[0]", "invalid_type"),
        (CHAT, {"messages": [{"content": "Hello"}]}, "messages[0].role", "missing_required_parameter"),
        (CHAT, {"messages": [HELLO | {"role": "nobody"}]}, "messages[0].role", "invalid_value"),
        (CHAT, {"messages": [HELLO | {"content": 7}]}, "messages[0].content", "invalid_type"),
        (CHAT, {"messages": [HELLO | {"content": ["x"]}]}, "messages[0].content[0]", "invalid_type"),
        (CHAT, {"messages": [HELLO | {"role": "tool"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        (CHAT, {"messages": [HELLO | {"tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function", None),
        (CHAT, {"messages": [HELLO], "tools": [{"function": {}}]}, "tools[0].function.name", None),
        (CHAT, {"messages": [HELLO], "response_format": "json"}, "response_format", "invalid_type"),
        (RESPONSES, {}, "input", "missing_required_parameter"),
        (RESPONSES, {"input": 7}, "input", "invalid_type"),
        (RESPONSES, {"input": ["x"]}, "input[0]", "invalid_type"),
        (RESPONSES, {"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name", None),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output", None),
        (RESPONSES, {"input": "x", "previous_response_id": []}, "previous_response_id", "invalid_type"),
        (RESPONSES, {"input": "x", "tools": [{"type": "function"}]}, "tools[0].name", None),
        (
            RESPONSES,
            {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": {"required": 7}}]},
            "tools[0].parameters",
            "invalid_schema",
        ),
        (RESPONSES, {"input": "x", "text": {"format": "json"}}, "text.format", "invalid_type"),
    ],
)
async def test_a_malformed_request_is_refused_as_openai_does(
    url: str, path: str, body: dict[str, Any], param: str, code: str | None
) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.post(path, json=body if param == "model" else {"model": "m"} | body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["code"] == (code or "missing_required_parameter")
    assert f"'{param}'" in error["message"] or code == "invalid_value"


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("Refund issued: $49.00 for A-1001 (Failed order reported by the customer)", "issued"),
        ('{"ok": true}', "issued"),
        ("Tool execution was not approved.", "blocked"),
        ('{"status": "blocked", "why": "too late"}', "blocked"),
        ("Error: the payment could not be refunded", "blocked"),
        ("", "blocked"),
    ],
)
def test_a_tools_answer_counts_as_paid_only_if_nothing_in_it_says_no(output: str, status: str) -> None:
    asked = {"order_id": "A-1001", "amount_cents": 4900, "reason": "Failed order reported by the customer"}
    assert json.loads(refund_result(output, asked))["status"] == status
