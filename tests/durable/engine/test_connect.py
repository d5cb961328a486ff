"""Workers that dial in, with the SDK's own client, in this process and in one that is killed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import inngest
import pytest
from inngest.connect import ConnectionState, connect
from inngest.connect._internal import connect_pb2 as pb
from inngest.connect._internal.connection import WorkerConnection

from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note

Connect = Callable[..., Any]


@pytest.fixture
async def dial(world: World) -> AsyncIterator[Connect]:
    """Connects the world's functions as one more worker; returns its connection once it is active."""
    open_: list[tuple[WorkerConnection, asyncio.Task[None]]] = []

    async def dial(name: str = "worker", **options: Any) -> WorkerConnection:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        connection = connect([(world.client, world.functions)], instance_id=name, **options)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        task = asyncio.create_task(connection.start())
        open_.append((connection, task))
        await connection.wait_for_state(ConnectionState.ACTIVE)
        return connection

    yield dial
    await asyncio.gather(*(connection.close() for connection, _ in open_))
    await asyncio.gather(*(task for _, task in open_))


async def until(condition: Callable[[], Any]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_worker_registers_its_functions_and_runs_them_without_a_port(world: World, dial: Connect) -> None:
    @world.on("go")
    async def hello(ctx: inngest.Context) -> Any:
        name = await ctx.step.run("name", note(world.log, "name", "Ada"))
        both = await ctx.group.parallel(
            (lambda: ctx.step.run("a", note(world.log, "a", 1)), lambda: ctx.step.run("b", note(world.log, "b", 2)))
        )
        return [name, *both, ctx.event.data["k"]]

    await dial("one")
    await world.sent("go", k=7)
    assert (world.run("hello").status, world.run("hello").output) == (RunStatus.COMPLETED, ["Ada", 1, 2, 7])
    assert sorted(world.log) == ["a", "b", "name"]
    async with httpx.AsyncClient(base_url=world.server.origin) as http:
        (app,) = (await http.get("/api/v2/apps")).json()["data"]
        (shown,) = (await http.get("/v0/connect/envs/dev/conns")).json()["data"]
    assert (app["method"], app["functionCount"], shown["instance_id"]) == ("CONNECT", 1, "one")


async def test_a_failing_step_is_retried_and_a_permanent_error_is_not(world: World, dial: Connect) -> None:
    @world.on("go", retries=1)
    async def fails(ctx: inngest.Context) -> None:
        async def body() -> None:
            world.log.append(ctx.attempt)
            raise (inngest.NonRetriableError if ctx.event.data.get("final") else ValueError)("no")

        await ctx.step.run("body", body)

    await dial()
    await world.sent("go")
    await world.advance(minutes=1)
    await world.sent("go", final=True)
    assert world.log == [0, 1, 0]
    assert {run.status for run in world.runs("fails")} == {RunStatus.FAILED}


async def test_without_a_worker_runs_wait_and_that_costs_no_attempt(world: World, dial: Connect) -> None:
    @world.on("go", retries=0)
    async def hello(ctx: inngest.Context) -> Any:
        return ctx.attempt

    connection = await dial()
    await connection.close(wait=True)
    await until(lambda: not world.server.workers.connected)
    for _ in range(2):
        await world.sent("go")
    await world.advance(hours=1)
    first, second = world.runs("hello")
    assert {first.status, second.status} == {RunStatus.SCHEDULED}
    world.server.cancel_run(first.id)
    await dial()
    await world.server.settle()
    assert (first.status, second.status, second.output) == (RunStatus.CANCELLED, RunStatus.COMPLETED, 0)


async def test_a_worker_takes_no_more_at_once_than_it_said(world: World, dial: Connect) -> None:
    running = [0, 0]

    @world.on("go")
    async def busy(ctx: inngest.Context) -> None:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.1)
        running[0] -= 1

    await dial(max_worker_concurrency=2)
    for _ in range(6):
        world.send("go")
    await world.server.settle()
    assert [run.status for run in world.runs("busy")] == [RunStatus.COMPLETED] * 6
    assert running[1] == 2


async def test_a_step_outlives_its_connection_and_is_not_run_again(world: World, dial: Connect) -> None:
    finish = asyncio.Event()

    @world.on("go")
    async def slow(ctx: inngest.Context) -> Any:
        async def body() -> str:
            world.log.append("body")
            await finish.wait()
            return "done"

        return await ctx.step.run("body", body)

    await dial()
    world.send("go")
    await until(lambda: world.log)
    await world.server.gateway.close()
    await until(lambda: not world.server.workers.connected)
    await until(lambda: world.server.workers.connected)
    finish.set()
    await until(lambda: world.run("slow").status.ended)
    assert (world.run("slow").output, world.log) == ("done", ["body"])


WORKER = """
import asyncio, sys, inngest
from inngest.connect import connect
client = inngest.Inngest(app_id="app", api_base_url=sys.argv[1], event_api_base_url=sys.argv[1], is_production=False)
@client.create_function(fn_id="hangs", trigger=inngest.TriggerEvent(event="go"))
async def hangs(ctx):
    async def body():
        print("begun", flush=True)
        await asyncio.sleep(60)
    await ctx.step.run("first", lambda: asyncio.sleep(0, "first"))
    return await ctx.step.run("body", body)
asyncio.run(connect([(client, [hangs])], instance_id="doomed").start())
"""


async def test_the_step_of_a_killed_worker_is_run_again_by_another(world: World, dial: Connect) -> None:
    @world.on("go")
    async def hangs(ctx: inngest.Context) -> Any:
        await ctx.step.run("first", note(world.log, "first"))
        return await ctx.step.run("body", note(world.log, "body", "rescued"))

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, world.server.origin, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    try:
        await until(lambda: world.server.workers.connected)
        world.send("go")
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begun\n"
    finally:
        process.kill()
        await process.wait()
    await until(lambda: not world.server.workers.connected)
    await dial("rescuer")
    await world.advance(minutes=2)
    step = world.run("hangs").steps
    assert world.log == [], "the request is still leased to the worker that is gone"
    await world.advance(minutes=1)
    assert (world.run("hangs").output, world.log) == ("rescued", ["body"]), "the first step is not repeated"
    (failed,) = world.run("hangs").attempts[:1]
    assert (failed.error or {})["message"] == "The worker stopped responding to the request."
    assert [s.status for s in step.values()] == ["COMPLETED", "COMPLETED"]


async def test_a_paused_worker_gets_nothing_new(world: World, dial: Connect) -> None:
    @world.on("go")
    async def hello(ctx: inngest.Context) -> None:
        world.log.append(ctx.run_id)

    first, second = await dial("first"), await dial("second")
    closing = asyncio.create_task(first.close(wait=True))
    await until(lambda: [w.instance_id for w in world.server.workers.connected] == ["second"])
    await closing
    await world.sent("go")
    assert (len(world.log), second.get_state()) == (1, ConnectionState.ACTIVE)


async def test_what_does_not_speak_the_protocol_is_refused(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.server.origin) as http:
        assert (await http.post("/v0/connect/start", content=b"\xff")).status_code == 400
        assert (await http.post("/v0/connect/flush", content=b"\xff")).status_code == 400
        late = pb.SDKResponse(request_id="unknown").SerializeToString()
        answer = await http.post("/v0/connect/flush", content=late)
    assert pb.FlushResponse.FromString(answer.content).request_id == "unknown"
