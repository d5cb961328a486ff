"""`step.ai.infer`: the engine asks the model, here a local OpenAI-compatible server, and stores the answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import fastapi
import inngest
import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from inngest.experimental.ai.openai import Adapter

from offline.inngest_server.state import RunStatus
from tests.durable.engine.world import World

ANSWER = {"id": "c1", "choices": [{"message": {"role": "assistant", "content": "hello"}}]}
Infer = Callable[..., Awaitable[None]]


@pytest.fixture
async def infer(world: World) -> Infer:
    """Serves one function that asks a model once, and the model, which gives `answers` in turn."""

    async def serve(*answers: Response) -> None:
        @world.on("go", "asks", retries=1)
        async def asks(ctx: inngest.Context) -> Any:
            adapter = Adapter(auth_key="sk-test", model="m1", base_url=f"http://127.0.0.1:{world.port}/v1/")
            body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0}
            world.log.append("function")
            return await ctx.step.ai.infer("call", adapter=adapter, body=body)

        left = list(answers)
        app: fastapi.FastAPI = world.app(world.functions)

        @app.post("/v1/chat/completions")
        async def complete(request: fastapi.Request) -> Response:
            world.log.append((request.headers["authorization"], await request.json()))
            return left.pop(0)

        await world.serve(app)
        async with world.server.engine.client.session.put(world.url) as answer:
            assert answer.status == 200

    return serve


async def test_the_engine_asks_the_model_once_and_keeps_the_answer(world: World, infer: Infer) -> None:
    await infer(JSONResponse(ANSWER))
    await world.sent("go")
    asked = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "model": "m1"}
    assert world.log == ["function", ("Bearer sk-test", asked), "function"]
    assert (world.run("asks").status, world.run("asks").output) == (RunStatus.COMPLETED, ANSWER)


async def test_a_model_that_is_over_its_quota_is_asked_again(world: World, infer: Infer) -> None:
    await infer(JSONResponse({"error": {}}, 429), JSONResponse(ANSWER))
    await world.sent("go")
    (step,) = world.run("asks").steps.values()
    assert (step.error or {})["message"] == "Error making AI request: unsuccessful status code: 429"
    await world.advance(minutes=1)
    assert (world.run("asks").output, len(world.log)) == (ANSWER, 4)


@pytest.mark.parametrize("bad", [JSONResponse({}, 500), PlainTextResponse("no json")])
async def test_a_model_that_keeps_failing_fails_the_run(world: World, infer: Infer, bad: Response) -> None:
    await infer(bad, bad)
    await world.sent("go")
    await world.advance(minutes=1)
    run = world.run("asks")
    assert (run.status, len(world.log)) == (RunStatus.FAILED, 4)
    assert run.output["message"].startswith("Error making AI request")
