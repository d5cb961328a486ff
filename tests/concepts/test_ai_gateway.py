"""Concept 10 proven by calls, tokens and what the engine keeps. Runs without any account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import pytest

from concepts import outside
from tests.concepts.killable_shelf import apart
from tests.concepts.shelf import Shelf
from tests.serving import listening

EMAIL = {"customer_id": "cust_002", "email_text": "I was charged twice for order A-1001."}
DOWN = ConnectionError("down for a moment")


@dataclass
class Model:
    """A local server that speaks as OpenAI's does. It answers when it is told to."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    app, state = fastapi.FastAPI(), Model()

    @app.post("/v1/chat/completions")
    async def complete(request: fastapi.Request) -> dict[str, Any]:
        state.heard.append(await request.json())
        state.keys.append(request.headers["authorization"])
        await state.may_answer.wait()
        message = {"role": "assistant", "content": f"answer {len(state.heard)}"}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    async with listening(app) as url:
        state.settings = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-local", "MODEL": "local-model"}
        for name, value in state.settings.items():
            monkeypatch.setenv(name, value)
        yield state


@pytest.mark.conformance("Steps", "step.ai.infer: the engine asks the model, and no process of the app runs meanwhile.")
async def test_the_engine_asks_the_model_while_no_process_of_the_app_runs(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model(monkeypatch) as local, apart() as program:
        await program.start(**local.settings)
        await shelf.send("concepts/ai_gateway.email", EMAIL)
        await shelf.until(lambda: local.heard != [])
        program.kill()
        await program.start(**local.settings)
        local.may_answer.set()
        await shelf.ended("ai-infer")
    assert local.keys == ["Bearer sk-local"]
    question = {"role": "user", "content": EMAIL["email_text"]}
    assert local.heard == [{"model": "local-model", "messages": [question]}]
    assert outside.asked("send_mail") == [("cust_002", "answer 1")]


async def test_the_engine_remembers_its_model_s_answer_as_it_remembers_a_step(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.fail("send_mail", DOWN)
    async with model(monkeypatch) as local:
        local.may_answer.set()
        await shelf.send("concepts/ai_gateway.email", EMAIL)
        await shelf.until(lambda: outside.asked("send_mail") != [])
        await shelf.past_retries()
        await shelf.ended("ai-infer")
    assert (len(local.heard), len(outside.asked("send_mail"))) == (1, 2)


async def test_what_the_engine_hears_from_the_model_is_not_encrypted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function's middleware encrypts what the app returns; neither prompt nor answer comes by."""
    async with model(monkeypatch) as local:
        local.may_answer.set()
        await shelf.send("concepts/ai_gateway.email", EMAIL)
        await shelf.ended("ai-infer")
    kept = shelf.stored()
    assert ("__ENCRYPTED__" in kept, "answer 1" in kept) == (True, True)
