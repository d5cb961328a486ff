"""Apps that are down, restarted, changed or broken, and a server that cannot start. Runs without database and model."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import httpx
import inngest
import pytest
from starlette.responses import Response

from offline.inngest_server import DevServer
from offline.inngest_server.core.state import RunStatus
from offline.processes import free_port
from tests.durable.engine.world import World, note


async def test_an_app_that_is_down_costs_attempts_and_comes_back_in_time(world: World) -> None:
    @world.on("go", retries=3)
    async def simple(ctx: inngest.Context) -> Any:
        return ctx.attempt

    await world.start()
    await world.stop()
    await world.sent("go")
    await world.advance(seconds=31)
    assert len(world.run("simple").attempts) == 2
    await world.start()
    await world.advance(minutes=2)
    assert (world.run("simple").status, world.run("simple").output) == (RunStatus.COMPLETED, 2)


async def test_an_app_that_stays_down_fails_the_run(world: World) -> None:
    @world.on("go", retries=1)
    async def simple(ctx: inngest.Context) -> None: ...

    await world.start()
    await world.stop()
    await world.sent("go")
    await world.advance(minutes=1)
    run = world.run("simple")
    assert (run.status, run.output["message"]) == (RunStatus.FAILED, "Unable to reach SDK URL")


async def test_a_restart_while_a_run_sleeps_loses_nothing(world: World) -> None:
    @world.on("go")
    async def sleeper(ctx: inngest.Context) -> Any:
        value = await ctx.step.run("before", note(world.log, "before", 1))
        await ctx.step.sleep("nap", timedelta(hours=1))
        return value + await ctx.step.run("after", note(world.log, "after", 1))

    await world.start()
    await world.sent("go")
    await world.stop()
    await world.start()
    await world.advance(hours=1)
    assert (world.log, world.run("sleeper").output) == (["before", "after"], 2)


async def test_a_run_goes_on_at_the_address_its_app_moved_to(world: World) -> None:
    @world.on("go")
    async def sleeper(ctx: inngest.Context) -> str:
        await ctx.step.sleep("nap", timedelta(hours=1))
        return "moved"

    await world.start()
    await world.sent("go")
    await world.stop()
    world.port = free = free_port()
    await world.start()
    await world.advance(hours=1)
    assert world.run("sleeper").output == "moved"
    assert str(free) in world.server.apps()[0].url


async def test_a_connection_that_breaks_in_the_middle_of_a_step_is_a_failed_attempt(world: World) -> None:
    started = asyncio.Event()

    @world.on("go", retries=1)
    async def slow(ctx: inngest.Context) -> str:
        async def work() -> str:
            world.log.append("work")
            if len(world.log) == 1:
                started.set()
                await asyncio.sleep(30)
            return "done"

        return await ctx.step.run("work", work)

    await world.start()
    world.send("go")
    await started.wait()
    await world.stop()
    await world.server.settle()
    await world.start()
    await world.advance(minutes=1)
    assert (world.log, world.run("slow").output) == (["work", "work"], "done")


SDK = {"x-inngest-sdk": "inngest-py:v0.5.19", "x-inngest-req-version": "2"}
GOOD = Response('"fine"', 200, SDK)


@pytest.mark.parametrize(
    "broken",
    [
        Response("<html>Bad Gateway</html>", 502, media_type="text/html"),
        Response("Payload too large", 413),
        Response("{not json", 206, SDK),
        Response("", 206, SDK),
        Response('[{"id": "x", "op": "StepRun", "data": NaN}]', 206, SDK),
        Response("[]", 206),
        Response('"from some other web server"', 200),
        Response('{"name": "X", "message": "m"}', 500, SDK),
    ],
    ids=["proxy error", "413", "broken JSON", "empty", "NaN", "steps not from an SDK", "not an SDK", "error"],
)
async def test_an_answer_that_makes_no_sense_is_a_failed_attempt(world: World, broken: Response) -> None:
    @world.on("go", retries=1)
    async def simple(ctx: inngest.Context) -> None: ...

    await world.start()
    await world.stop()
    answers = [broken, GOOD]

    async def fake(scope: Any, receive: Any, send: Any) -> None:
        await answers.pop(0)(scope, receive, send)

    await world.serve(fake)
    await world.sent("go")
    assert world.run("simple").status is RunStatus.RUNNING
    await world.advance(seconds=31)
    assert (world.run("simple").status, world.run("simple").output, answers) == (RunStatus.COMPLETED, "fine", [])


async def test_bytes_sent_to_keep_a_streamed_answer_alive_are_skipped(world: World) -> None:
    @world.on("go", retries=0)
    async def simple(ctx: inngest.Context) -> None: ...

    await world.start()
    await world.stop()
    answer = {"status": 200, "headers": SDK, "body": '"fine"'}
    await world.serve(Response("   " + json.dumps(answer), 201))
    await world.sent("go")
    assert world.run("simple").output == "fine"


async def test_an_answer_marked_no_retry_ends_the_run(world: World) -> None:
    @world.on("go", retries=4)
    async def simple(ctx: inngest.Context) -> None: ...

    await world.start()
    await world.stop()
    await world.serve(Response('{"name": "E", "message": "no"}', 400, {**SDK, "x-inngest-no-retry": "true"}))
    await world.sent("go")
    assert world.run("simple").status is RunStatus.FAILED


async def test_a_restarted_app_with_other_functions_is_noticed_by_itself() -> None:
    async with DevServer(poll_interval=0.05) as server:
        world = World(server)

        @world.on("go")
        async def first(ctx: inngest.Context) -> None: ...

        await world.start()
        assert [f.local_id for f in server.functions()] == ["first"]
        await world.stop()

        @world.on("go")
        async def second(ctx: inngest.Context) -> None: ...

        await world.serve(world.app(world.functions[1:]))
        async with asyncio.timeout(5):
            while [f.local_id for f in server.functions()] != ["second"]:
                await asyncio.sleep(0.01)
        await world.sent("go")
        assert [run.function.local_id for run in server.runs()] == ["second"]
        await world.stop()


async def test_an_app_that_comes_up_later_is_found_at_its_url() -> None:
    port = free_port()
    async with DevServer(sdk_urls=[f"http://127.0.0.1:{port}/api/inngest"], poll=False) as server:
        world = World(server)
        world.port = port

        @world.on("go")
        async def simple(ctx: inngest.Context) -> None: ...

        await asyncio.sleep(0.05)
        await world.serve(world.app(world.functions))
        await server.synced("app")
        await world.stop()


async def test_two_apps_are_served_side_by_side(world: World) -> None:
    other = World(world.server, "other")
    for place in (world, other):

        @place.on("go", "same-id")
        async def simple(ctx: inngest.Context, place: World = place) -> None:
            place.log.append("ran")

    await world.start()
    await other.start()
    await world.sent("go")
    await other.stop()
    assert (world.log, other.log) == (["ran"], ["ran"])


def _command(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "offline.inngest_server", "--no-discovery", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {})


def test_the_command_says_what_it_is_listens_and_ends_on_a_signal() -> None:
    process = _command("--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    banner, address = "".join(lines[:2]), lines[2]
    assert "not the official server" in banner
    assert "inngest-cli@latest" in banner
    assert address.startswith("listening http://127.0.0.1:")
    assert httpx.get(f"{address.split()[1]}/health").json() == {"status": 200, "message": "OK"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert process.communicate() == ("", "")


def test_a_taken_port_is_one_clear_line_and_exit_code_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = _command("--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "cannot listen on 127.0.0.1" in err
    assert "Traceback" not in err
