"""What an app is asked, in which order, with which attempt: counted in the app. Runs without database and model."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import inngest

from offline.inngest_server.core.state import RunStatus, StepStatus
from tests.durable.engine.world import World, note


def failing(log: list[Any], times: int, error: Exception | None = None) -> Any:
    """A step body that fails `times` times, then returns "ok"."""

    async def body() -> str:
        log.append("try")
        if log.count("try") <= times:
            raise error or ValueError("boom")
        return "ok"

    return body


async def test_every_step_runs_once_and_the_function_once_per_step(world: World) -> None:
    @world.on("go")
    async def two_steps(ctx: inngest.Context) -> Any:
        world.log.append("call")
        return [await ctx.step.run("a", note(world.log, "a", 1)), await ctx.step.run("b", note(world.log, "b", 2))]

    await world.start()
    await world.sent("go")
    assert world.log == ["call", "a", "call", "b", "call"]
    run = world.run("two_steps")
    assert (run.status, run.output) == (RunStatus.COMPLETED, [1, 2])
    assert [(s.name, s.status, len(s.attempts)) for s in run.steps.values()] == [
        ("a", StepStatus.COMPLETED, 1),
        ("b", StepStatus.COMPLETED, 1),
    ]


async def test_a_failed_step_is_tried_again_after_15_to_30_seconds_and_keeps_its_history(world: World) -> None:
    @world.on("go", retries=2)
    async def flaky(ctx: inngest.Context) -> Any:
        return ctx.attempt, await ctx.step.run("s", failing(world.log, 1))

    await world.start()
    await world.sent("go")
    await world.advance(seconds=14)
    assert world.log == ["try"]
    await world.advance(seconds=16)
    run = world.run("flaky")
    assert (run.status, run.output) == (RunStatus.COMPLETED, [0, "ok"]), "attempt starts again at 0 after a step"
    (step,) = run.steps.values()
    assert [(a.number, a.error and a.error["message"]) for a in step.attempts] == [(0, "boom"), (1, None)]
    assert step.error is None


async def test_a_step_that_keeps_failing_fails_the_run_after_its_retries(world: World) -> None:
    async def on_failure(ctx: inngest.Context) -> Any:
        world.log.append(ctx.event.data["event"]["data"])  # type: ignore[index, call-overload]
        return ctx.event.data["error"]["message"]  # type: ignore[index, call-overload]

    @world.on("go", retries=2, on_failure=on_failure)
    async def hopeless(ctx: inngest.Context) -> None:
        await ctx.step.run("s", failing(world.log, 99))

    await world.start()
    await world.sent("go", k=7)
    await world.advance(minutes=5)
    assert world.log == ["try"] * 3 + [{"k": 7}]
    assert world.run("hopeless").status is RunStatus.FAILED
    assert world.run("hopeless").output["message"] == "boom"
    assert world.run("hopeless-failure").output == "boom"


async def test_a_function_may_catch_a_failed_step_and_go_on(world: World) -> None:
    @world.on("go", retries=0)
    async def catching(ctx: inngest.Context) -> Any:
        try:
            await ctx.step.run("s", failing(world.log, 99))
        except inngest.StepError as error:
            return await ctx.step.run("after", note(world.log, "after", error.message))

    await world.start()
    await world.sent("go")
    assert world.log == ["try", "after"]
    assert world.run("catching").output == "boom"


async def test_a_non_retriable_error_fails_the_run_at_once(world: World) -> None:
    @world.on("go", retries=4)
    async def refusing(ctx: inngest.Context) -> None:
        await ctx.step.run("s", failing(world.log, 99, inngest.NonRetriableError("never")))

    await world.start()
    await world.sent("go")
    assert (world.log, world.run("refusing").status) == (["try"], RunStatus.FAILED)


async def test_retry_after_sets_the_time_of_the_next_attempt_on_a_clock_that_was_moved(world: World) -> None:
    @world.on("go", retries=1)
    async def limited(ctx: inngest.Context) -> Any:
        return await ctx.step.run("s", failing(world.log, 1, inngest.RetryAfterError("429", timedelta(minutes=10))))

    await world.start()
    await world.advance(days=3)
    await world.sent("go")
    await world.advance(minutes=9, seconds=50)
    assert world.log == ["try"]
    await world.advance(seconds=15)
    assert (world.log, world.run("limited").output) == (["try", "try"], "ok")


async def test_a_result_that_is_not_json_is_a_failed_attempt(world: World) -> None:
    @world.on("go", retries=1)
    async def unserializable(ctx: inngest.Context) -> None:
        await ctx.step.run("s", note(world.log, "side effect", object()))

    await world.start()
    await world.sent("go")
    await world.advance(minutes=1)
    assert world.log == ["side effect"] * 2, "the side effect happens again: a step's result must be plain JSON"
    assert world.run("unserializable").status is RunStatus.FAILED


async def test_parallel_steps_run_once_each_and_the_function_goes_on_when_all_are_done(world: World) -> None:
    @world.on("go")
    async def parallel(ctx: inngest.Context) -> Any:
        world.log.append("call")
        pair = await ctx.group.parallel(
            (
                lambda: ctx.step.run("a", note(world.log, "a", 1)),
                lambda: ctx.step.run("b", note(world.log, "b", 2)),
                lambda: ctx.step.sleep("nap", timedelta(minutes=1)),
            )
        )
        return [*pair[:2], await ctx.step.run("c", note(world.log, "c", 3))]

    await world.start()
    await world.sent("go")
    assert sorted(world.log) == ["a", "b", "call", "call", "call"]
    await world.advance(minutes=1)
    assert world.run("parallel").output == [1, 2, 3]
    assert {name: world.log.count(name) for name in "abc"} == {"a": 1, "b": 1, "c": 1}
    assert world.log.count("call") == 5, "planned, two targeted, one after the nap, one after c"


async def test_in_race_mode_each_branch_goes_on_by_itself(world: World) -> None:
    @world.on("go")
    async def race(ctx: inngest.Context) -> None:
        async def slow() -> None:
            await ctx.step.sleep("nap", timedelta(hours=1))

        async def quick() -> None:
            await ctx.step.run("first", note(world.log, "first"))
            await ctx.step.run("second", note(world.log, "second"))

        await ctx.group.parallel((slow, quick), parallel_mode=inngest.ParallelMode.RACE)

    await world.start()
    await world.sent("go")
    assert world.log == ["first", "second"]
    await world.advance(hours=1)
    assert (world.log, world.run("race").status) == (["first", "second"], RunStatus.COMPLETED)


async def test_a_branch_still_at_work_is_not_started_again_when_another_goes_on(world: World) -> None:
    release = asyncio.Event()

    @world.on("go")
    async def race(ctx: inngest.Context) -> None:
        async def long() -> None:
            world.log.append("long")
            await release.wait()

        async def quick() -> None:
            for name in ("first", "second", "third"):
                await ctx.step.run(name, note(world.log, name))
            release.set()

        await ctx.group.parallel((lambda: ctx.step.run("long", long), quick), parallel_mode=inngest.ParallelMode.RACE)

    await world.start()
    await world.sent("go")
    assert sorted(world.log) == ["first", "long", "second", "third"]
    assert world.run("race").status is RunStatus.COMPLETED


async def test_a_failing_parallel_branch_is_retried_alone(world: World) -> None:
    @world.on("go", retries=1)
    async def parallel(ctx: inngest.Context) -> Any:
        return await ctx.group.parallel(
            (
                lambda: ctx.step.run("good", note(world.log, "good", "good")),
                lambda: ctx.step.run("bad", failing(world.log, 1)),
            )
        )

    await world.start()
    await world.sent("go")
    await world.advance(minutes=1)
    assert sorted(world.log) == ["good", "try", "try"]
    assert world.run("parallel").output == ["good", "ok"]


async def test_a_sleep_ends_when_the_clock_reaches_it(world: World) -> None:
    @world.on("go")
    async def sleeper(ctx: inngest.Context) -> str:
        await ctx.step.sleep("nap", timedelta(hours=4))
        return "awake"

    @world.on("until")
    async def sleeps_until(ctx: inngest.Context) -> str:
        await ctx.step.sleep_until("nap", datetime.now() + timedelta(hours=4))
        return "awake"

    await world.start()
    await world.advance(days=1)
    await world.sent("go")
    await world.sent("until")
    await world.advance(hours=3, minutes=59)
    assert {run.status for run in world.server.runs()} == {RunStatus.RUNNING}
    await world.advance(minutes=1, seconds=1)
    assert {run.output for run in world.server.runs()} == {"awake"}


async def test_an_invoked_function_hands_its_result_to_the_caller(world: World) -> None:
    @world.on("never")
    async def callee(ctx: inngest.Context) -> Any:
        return await ctx.step.run("double", partial(double, ctx.event.data["n"]))

    @world.on("go")
    async def caller(ctx: inngest.Context) -> Any:
        return await ctx.step.invoke("call", function=callee, data={"n": 21})

    await world.start()
    await world.sent("go")
    assert world.run("caller").output == 42
    assert world.run("callee").invoked_by == (world.run("caller").id, next(iter(world.run("caller").steps)))


async def double(number: Any) -> Any:
    """A step body."""
    return number * 2


async def test_an_invoked_function_that_fails_or_is_unknown_raises_in_the_caller(world: World) -> None:
    @world.on("never", retries=0)
    async def callee(ctx: inngest.Context) -> None:
        raise ValueError("callee broke")

    @world.on("go")
    async def caller(ctx: inngest.Context) -> Any:
        errors = []
        for name in ("callee", "nobody"):
            try:
                await ctx.step.invoke_by_id(name, app_id="app", function_id=name)
            except inngest.StepError as error:
                errors.append(error.message)
        return errors

    await world.start()
    await world.sent("go")
    assert world.run("caller").output == ["callee broke", "could not find function with ID: app-nobody"]


async def test_an_invoke_that_takes_too_long_raises_in_the_caller(world: World) -> None:
    @world.on("never")
    async def callee(ctx: inngest.Context) -> None:
        await ctx.step.sleep("long", timedelta(days=1))

    @world.on("go", retries=0)
    async def caller(ctx: inngest.Context) -> Any:
        await ctx.step.invoke("call", function=callee, timeout=timedelta(minutes=5))

    await world.start()
    await world.sent("go")
    await world.advance(minutes=5)
    assert world.run("caller").output["name"] == "InngestInvokeTimeoutError"
    assert world.run("callee").status is RunStatus.RUNNING


async def test_sent_events_carry_ids_that_start_each_run_once(world: World) -> None:
    @world.on("go", retries=1)
    async def sender(ctx: inngest.Context) -> Any:
        events = [inngest.Event(name="child", id=f"{ctx.event.id}-{n}", data={"n": n}) for n in (1, 2)]
        await ctx.step.send_event("once", events)
        return await ctx.step.send_event("twice", events)

    @world.on("child")
    async def child(ctx: inngest.Context) -> None:
        world.log.append(ctx.event.data["n"])

    await world.start()
    await world.sent("go")
    assert len(world.run("sender").output) == 2
    assert sorted(world.log) == [1, 2]


async def test_a_state_too_large_for_one_request_is_fetched_by_the_app(world: World) -> None:
    @world.on("go")
    async def large(ctx: inngest.Context) -> int:
        total = 0
        for number in range(3):
            total += len(await ctx.step.run(f"s{number}", note(world.log, number, "x" * 2_000_000)))
        return total

    sizes: list[int] = []

    async def measured(scope: Any, receive: Any, send: Any) -> None:
        sizes.append(int(dict(scope["headers"]).get(b"content-length", 0)))
        await app(scope, receive, send)

    await world.start()
    await world.stop()
    app = world.app(world.functions)
    await world.serve(measured)
    await world.sent("go")
    assert (world.log, world.run("large").output) == ([0, 1, 2], 6_000_000)
    assert 2_000_000 < max(sizes) < 4_200_000


async def test_streamed_answers_are_read_as_if_they_were_not(world: World) -> None:
    @world.on("go", retries=1)
    async def streamed(ctx: inngest.Context) -> Any:
        return await ctx.step.run("s", failing(world.log, 1))

    await world.start(streaming=inngest.Streaming.FORCE)
    await world.sent("go")
    assert world.run("streamed").status is RunStatus.RUNNING
    await world.advance(seconds=31)
    assert (world.log, world.run("streamed").output) == (["try", "try"], "ok")


async def test_a_rerun_is_a_new_run_of_the_same_event(world: World) -> None:
    @world.on("go")
    async def once(ctx: inngest.Context) -> Any:
        return await ctx.step.run("s", note(world.log, ctx.event.id))

    await world.start()
    await world.sent("go")
    first = world.run("once").id
    again = world.server.rerun(first)
    await world.server.settle()
    assert world.log[0] == world.log[1]
    assert len(world.log) == 2
    assert world.server.run(again).original_run_id == first != again
