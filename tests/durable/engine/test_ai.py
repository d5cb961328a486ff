"""`step.ai.infer`: the engine asks the model, here a local OpenAI-compatible server, and stores the answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import fastapi
import inngest
import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from inngest.experimental.ai.openai import Adapter

from offline.inngest_server.core.state import RunStatus
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
    assert (world.run("asks").output, [entry == "function" for entry in world.log]) == (
        ANSWER,
        [True, False, True, False, True],
    ), "the app is asked again, too"
    assert [attempt.number for attempt in step.attempts] == [0, 1]


@pytest.mark.parametrize("bad", [JSONResponse({}, 500), PlainTextResponse("no json")])
async def test_a_model_that_keeps_failing_fails_the_run(world: World, infer: Infer, bad: Response) -> None:
    await infer(bad, bad)
    await world.sent("go")
    await world.advance(minutes=1)
    run = world.run("asks")
    assert (run.status, len(world.log)) == (RunStatus.FAILED, 5)
    assert run.output["message"].startswith("Error making AI request")


async def test_two_model_calls_side_by_side_are_each_made_until_they_succeed(world: World) -> None:
    @world.on("go", "asks", retries=1)
    async def asks(ctx: inngest.Context) -> Any:
        async def ask(name: str) -> Any:
            adapter = Adapter(auth_key="sk", model=name, base_url=f"http://127.0.0.1:{world.port}/v1/")
            return await ctx.step.ai.infer(name, adapter=adapter, body={"messages": []})

        return await ctx.group.parallel((lambda: ask("a"), lambda: ask("b"), lambda: ask("c")))

    app: fastapi.FastAPI = world.app(world.functions)

    @app.post("/v1/chat/completions")
    async def complete(request: fastapi.Request) -> Response:
        model = (await request.json())["model"]
        world.log.append(model)
        failed = model != "c" and world.log.count(model) == 1
        return JSONResponse({}, 500) if failed else JSONResponse({"model": model})

    await world.serve(app)
    async with world.server.engine.client.session.put(world.url) as answer:
        assert answer.status == 200
    await world.sent("go")
    await world.advance(minutes=1)
    assert world.run("asks").output == [{"model": "a"}, {"model": "b"}, {"model": "c"}]
    assert sorted(world.log) == ["a", "a", "b", "b", "c"]
