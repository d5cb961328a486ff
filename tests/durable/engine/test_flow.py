"""Flow control, by what starts and when: counted in the app, timed on the engine's clock, without a sleep."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import inngest

from offline.inngest_server.core.state import RunStatus, StepStatus
from tests.durable.engine.world import World, note


def collecting(world: World, **settings: Any) -> None:
    """A function that notes down the data of its events."""

    @world.on("go", "collector", **settings)
    async def handler(ctx: inngest.Context) -> None:
        world.log.append([event.data for event in ctx.events])


async def test_a_throttle_lets_a_burst_through_and_spaces_the_rest(world: World) -> None:
    collecting(world, throttle=inngest.Throttle(limit=2, period=timedelta(seconds=4)))
    await world.start()
    for number in range(6):
        world.send("go", number=number)
    await world.server.settle()
    started = []
    for _ in range(4):
        started.append(len(world.log))
        await world.advance(seconds=2.05)
    assert started == [3, 4, 5, 6], "limit 2 and burst 1 at once, then one every 4 s / 2"


async def test_a_keyed_throttle_counts_each_key_by_itself(world: World) -> None:
    collecting(world, throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), key="event.data.k"))
    await world.start()
    for key in "aaab":
        world.send("go", k=key)
    await world.server.settle()
    assert Counter(events[0]["k"] for events in world.log) == {"a": 2, "b": 1}


async def test_a_cancelled_run_leaves_its_place_in_the_throttle_to_the_next(world: World) -> None:
    collecting(world, throttle=inngest.Throttle(limit=1, period=timedelta(minutes=1), burst=0))
    await world.start()
    for number in range(3):
        world.send("go", number=number)
    await world.server.settle()
    world.server.cancel_run(world.runs("collector")[1].id)
    await world.advance(seconds=61)
    assert world.log == [[{"number": 0}], [{"number": 2}]]


async def test_concurrency_is_bounded_in_all_and_per_key_and_no_key_starves(world: World) -> None:
    running: Counter[str] = Counter()
    peak: Counter[str] = Counter()

    @world.on("go", concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=2, key="event.data.k")])
    async def busy(ctx: inngest.Context) -> None:
        async def work() -> None:
            key = str(ctx.event.data["k"])
            for name in ("all", key):
                running[name] += 1
                peak[name] = max(peak[name], running[name])
            await asyncio.sleep(0.01)
            for name in ("all", key):
                running[name] -= 1
            world.log.append(key)

        await ctx.step.run("work", work)

    await world.start()
    for key in "a" * 12 + "bbbcd":
        world.send("go", k=key)
    await world.server.settle()
    assert len(world.log) == 17
    assert peak["all"] == 4
    assert (peak["a"], peak["b"]) == (2, 2)
    assert set(world.log[:8]) == {"a", "b", "c", "d"}, "eleven waiting runs of one key do not stand in the way"


async def test_a_waiting_run_holds_no_slot(world: World) -> None:
    @world.on("go", concurrency=[inngest.Concurrency(limit=1)])
    async def sleepy(ctx: inngest.Context) -> None:
        await ctx.step.run("s", note(world.log, "s"))
        await ctx.step.sleep("nap", timedelta(hours=1))

    await world.start()
    for _ in range(5):
        world.send("go")
    await world.server.settle()
    assert world.log == ["s"] * 5


async def test_a_shared_scope_bounds_two_functions_together(world: World) -> None:
    running = 0
    shared = [inngest.Concurrency(limit=1, key="'desk'", scope="account")]

    async def work() -> None:
        nonlocal running
        running += 1
        world.log.append(running)
        await asyncio.sleep(0.005)
        running -= 1

    for name in ("one", "two"):

        @world.on("go", name, concurrency=shared)
        async def handler(ctx: inngest.Context) -> None:
            await ctx.step.run("work", work)

    await world.start()
    for _ in range(3):
        world.send("go")
    await world.server.settle()
    assert world.log == [1] * 6


async def test_a_higher_priority_starts_first_and_one_below_zero_later(world: World) -> None:
    gate = asyncio.Event()
    priority_of = inngest.Priority(run="int(event.data.priority)")

    @world.on("go", concurrency=[inngest.Concurrency(limit=1)], priority=priority_of)
    async def one_by_one(ctx: inngest.Context) -> None:
        await gate.wait()
        world.log.append(ctx.event.data["priority"])

    await world.start()
    for priority in (0, -601, 100, 50):
        world.send("go", priority=priority)
    gate.set()
    await world.advance(seconds=599)
    assert world.log == [0, 100, 50], "the first was already running"
    await world.advance(seconds=1)
    assert world.log == [0, 100, 50, -601]


async def test_a_rate_limit_drops_what_is_too_much(world: World) -> None:
    collecting(world, rate_limit=inngest.RateLimit(limit=1, period=timedelta(minutes=1), key="event.data.k"))
    await world.start()
    for key in "aab":
        world.send("go", k=key)
    await world.advance(minutes=2)
    assert world.log == [[{"k": "a"}], [{"k": "b"}]]
    await world.sent("go", k="a")
    assert len(world.runs("collector")) == 3


async def test_a_debounce_waits_for_quiet_and_keeps_the_last_event(world: World) -> None:
    collecting(world, debounce=inngest.Debounce(period=timedelta(seconds=10), key="event.data.k"))
    await world.start()
    for number in range(3):
        world.send("go", k="a", number=number)
        await world.advance(seconds=8)
    assert world.log == []
    await world.advance(seconds=3)
    assert world.log == [[{"k": "a", "number": 2}]]


async def test_a_debounce_gives_up_waiting_at_its_timeout(world: World) -> None:
    collecting(world, debounce=inngest.Debounce(period=timedelta(seconds=10), timeout=timedelta(seconds=20)))
    await world.start()
    for number in range(3):
        world.send("go", number=number)
        await world.advance(seconds=8)
    assert world.log == [[{"number": 2}]]


async def test_a_batch_starts_when_it_is_full_or_its_time_is_over(world: World) -> None:
    collecting(world, batch_events=inngest.Batch(max_size=3, timeout=timedelta(seconds=30), key="event.data.k"))
    await world.start()
    for number in range(4):
        world.send("go", k="a", number=number)
    world.send("go", k="b", number=9)
    await world.server.settle()
    assert [[event["number"] for event in batch] for batch in world.log] == [[0, 1, 2]]
    await world.advance(seconds=30)
    assert [[event["number"] for event in batch] for batch in world.log] == [[0, 1, 2], [3], [9]]
    assert all(run.batch_id for run in world.runs("collector"))


async def test_only_events_that_meet_the_condition_wait_for_a_batch(world: World) -> None:
    batch = inngest.Batch(max_size=50, timeout=timedelta(seconds=30), key="event.data.k", if_exp="event.data.n > 2")
    collecting(world, batch_events=batch)
    await world.start()
    for number in (1, 3, 2, 4):
        world.send("go", k="a", n=number)
    world.send("go", k="a", n="not a number")
    await world.server.settle()
    assert sorted(str(batch[0]["n"]) for batch in world.log) == ["1", "2", "not a number"]
    await world.advance(seconds=30)
    assert [event["n"] for event in world.log[-1]] == [3, 4]
    assert [bool(run.batch_id) for run in world.runs("collector")] == [False, False, False, True]


async def test_a_batch_does_not_mind_a_repeated_event_id(world: World) -> None:
    collecting(world, batch_events=inngest.Batch(max_size=3, timeout=timedelta(seconds=30)))
    await world.start()
    for number in range(3):
        world.send("go", event_id="same", number=number)
    await world.server.settle()
    assert [[event["number"] for event in batch] for batch in world.log] == [[0, 1, 2]]


async def test_a_debounce_does_not_mind_a_repeated_event_id(world: World) -> None:
    collecting(world, debounce=inngest.Debounce(period=timedelta(seconds=3)))
    await world.start()
    for number in range(2):
        world.send("go", event_id="same", number=number)
        await world.advance(seconds=4)
    assert world.log == [[{"number": 0}], [{"number": 1}]]


async def test_a_repeated_event_id_uses_up_no_rate_limit(world: World) -> None:
    collecting(world, rate_limit=inngest.RateLimit(limit=10, period=timedelta(minutes=10)))
    await world.start()
    for event_id in ("a", "a", "b", "c"):
        world.send("go", event_id=event_id, id=event_id)
    await world.server.settle()
    assert world.log == [[{"id": "a"}], [{"id": "b"}]], "ten in ten minutes are two at once, then one a minute"


async def test_a_singleton_skips_while_one_runs(world: World) -> None:
    @world.on("go", singleton=inngest.Singleton(mode="skip", key="event.data.k"))
    async def single(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(minutes=1))

    await world.start()
    for key in "aab":
        world.send("go", k=key)
    await world.server.settle()
    assert len(world.runs("single")) == 2
    await world.advance(minutes=1)
    await world.sent("go", k="a")
    assert len(world.runs("single")) == 3


async def test_a_singleton_in_cancel_mode_replaces_the_running_one(world: World) -> None:
    @world.on("go", singleton=inngest.Singleton(mode="cancel"))
    async def single(ctx: inngest.Context) -> Any:
        await ctx.step.sleep("nap", timedelta(minutes=1))
        return ctx.event.data["number"]

    await world.start()
    for number in range(3):
        await world.sent("go", number=number)
    await world.advance(minutes=2)
    assert [run.status for run in world.runs("single")] == [RunStatus.CANCELLED] * 2 + [RunStatus.COMPLETED]
    assert world.runs("single")[-1].output == 2


async def test_an_idempotency_key_starts_one_run_a_day(world: World) -> None:
    collecting(world, idempotency="event.data.k")
    await world.start()
    for key in "aab":
        world.send("go", k=key)
    await world.advance(hours=23)
    await world.sent("go", k="a")
    assert len(world.log) == 2
    await world.advance(hours=2)
    await world.sent("go", k="a")
    assert len(world.log) == 3


async def test_an_event_id_is_remembered_for_a_day_per_function(world: World) -> None:
    collecting(world)

    @world.on("go", "other")
    async def other(ctx: inngest.Context) -> None:
        world.log.append("other")

    await world.start()
    first, second = (world.send("go", event_id="mail-1") for _ in range(2))
    await world.server.settle()
    assert sorted(map(str, world.log)) == ["[{}]", "other"]
    assert first != second
    assert not world.server.state.runs_of_event(second)
    await world.advance(hours=25)
    await world.sent("go", event_id="mail-1")
    assert len(world.log) == 4


async def test_a_matching_event_cancels_and_no_step_follows(world: World) -> None:
    @world.on("go", cancel=[inngest.Cancel(event="stop", if_exp="event.data.k == async.data.k")])
    async def cancellable(ctx: inngest.Context) -> None:
        await ctx.step.run("before", note(world.log, f"before {ctx.event.data['k']}"))
        await ctx.step.sleep("nap", timedelta(minutes=1))
        await ctx.step.run("after", note(world.log, f"after {ctx.event.data['k']}"))

    @world.on("inngest/function.cancelled")
    async def on_cancelled(ctx: inngest.Context) -> Any:
        return ctx.event.data["run_id"]

    await world.start()
    await world.sent("go", k="a")
    await world.sent("go", k="b")
    await world.sent("stop", k="a")
    await world.advance(minutes=2)
    assert world.log == ["before a", "before b", "after b"]
    cancelled, completed = world.runs("cancellable")
    assert (cancelled.status, completed.status) == (RunStatus.CANCELLED, RunStatus.COMPLETED)
    assert world.run("on_cancelled").output == cancelled.id


async def test_cancelling_lets_the_running_step_finish(world: World) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @world.on("go")
    async def slow(ctx: inngest.Context) -> None:
        async def work() -> None:
            started.set()
            await go_on.wait()
            world.log.append("finished")

        await ctx.step.run("work", work)
        await ctx.step.run("next", note(world.log, "next"))

    await world.start()
    world.send("go")
    await started.wait()
    world.server.cancel_run(world.run("slow").id)
    go_on.set()
    await world.server.settle()
    assert (world.log, world.run("slow").status) == (["finished"], RunStatus.CANCELLED)
    assert [step.status for step in world.run("slow").steps.values()] == [StepStatus.COMPLETED]


async def test_timeouts_cancel_what_starts_or_finishes_too_late(world: World) -> None:
    @world.on("go", timeouts=inngest.Timeouts(finish=timedelta(seconds=30)))
    async def late_finish(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(hours=1))

    @world.on(
        "go",
        timeouts=inngest.Timeouts(start=timedelta(seconds=30)),
        throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), burst=0),
    )
    async def late_start(ctx: inngest.Context) -> None:
        world.log.append("started")

    await world.start()
    await world.sent("go")
    await world.sent("go")
    await world.advance(hours=2)
    assert {run.status for run in world.runs("late_finish")} == {RunStatus.CANCELLED}
    assert [run.status for run in world.runs("late_start")] == [RunStatus.COMPLETED, RunStatus.CANCELLED]
    assert world.log == ["started"]


async def test_a_trigger_expression_and_several_triggers_decide_what_starts(world: World) -> None:
    triggers = [inngest.TriggerEvent(event="big", expression="event.data.n >= 4"), inngest.TriggerEvent(event="any/*")]
    collecting(world, trigger=triggers)
    await world.start()
    for name, number in (("big", 3), ("big", 5), ("any/thing", 1), ("anything", 1)):
        world.send(name, n=number)
    await world.server.settle()
    assert world.log == [[{"n": 5}], [{"n": 1}]]
