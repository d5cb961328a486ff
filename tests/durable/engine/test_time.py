"""Skipping time: everything due happens, in order, and nothing else. Runs without database and model."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import inngest
import pytest

from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note


async def test_what_is_due_on_the_way_happens_in_the_order_of_its_time(world: World) -> None:
    @world.on("go")
    async def sleeper(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(minutes=int(str(ctx.event.data["minutes"]))))
        world.log.append(ctx.event.data["minutes"])

    await world.start()
    for minutes in (30, 10, 20, 50):
        world.send("go", minutes=minutes)
    await world.advance(minutes=40)
    assert world.log == [10, 20, 30]


async def test_an_event_from_the_future_starts_its_run_then(world: World) -> None:
    @world.on("go")
    async def simple(ctx: inngest.Context) -> None:
        world.log.append(ctx.event.data["number"])

    await world.start()
    await world.advance(days=1)
    soon = int((datetime.now(UTC) + timedelta(hours=2)).timestamp() * 1000)
    world.server.send_events(
        [{"name": "go", "ts": soon, "data": {"number": 2}}, {"name": "go", "ts": soon, "data": {"number": 3}}]
    )
    await world.client.send(inngest.Event(name="go", data={"number": 1}))
    await world.server.settle()
    assert world.log == [1]
    world.server.cancel_run(world.runs("simple")[1].id)
    await world.advance(hours=2)
    assert world.log == [1, 2]


async def test_what_a_hop_plans_within_the_time_happens_too(world: World) -> None:
    @world.on("go")
    async def three_naps(ctx: inngest.Context) -> str:
        for number in range(3):
            await ctx.step.sleep(f"nap {number}", timedelta(hours=1))
        return "rested"

    await world.start()
    await world.sent("go")
    before = asyncio.get_running_loop().time()
    assert await world.advance(hours=4) == 3
    assert world.run("three_naps").output == "rested"
    assert asyncio.get_running_loop().time() - before < 2


async def test_a_function_that_never_stops_sleeping_ends_with_the_time(world: World) -> None:
    @world.on("go")
    async def endless(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(hours=1))
        await ctx.step.send_event("again", inngest.Event(name="go"))

    await world.start()
    await world.sent("go")
    await world.advance(hours=10, minutes=30)
    assert len(world.runs("endless")) == 11


async def test_time_does_not_run_backwards(world: World) -> None:
    with pytest.raises(ValueError, match="forward"):
        await world.advance(seconds=-1)


async def test_the_clock_runs_by_itself_too(world: World) -> None:
    @world.on("go")
    async def napper(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(milliseconds=50))

    await world.start()
    world.send("go")
    async with asyncio.timeout(5):
        while not world.runs("napper") or not world.run("napper").status.ended:
            await asyncio.sleep(0.01)
    assert world.run("napper").status is RunStatus.COMPLETED


async def test_the_clock_is_moved_over_http(world: World) -> None:
    @world.on("go")
    async def napper(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(hours=3))

    await world.start()
    async with httpx.AsyncClient(base_url=world.server.origin) as http:
        await http.post("/e/key", json={"name": "go"})
        assert (await http.post("/offline/settle")).status_code == 200
        before = datetime.fromisoformat((await http.get("/offline/clock")).json()["now"])
        answer = (await http.post("/offline/advance", json={"seconds": 14400})).json()
        assert answer["fired"] == 1
        assert timedelta(hours=4) <= datetime.fromisoformat(answer["now"]) - before < timedelta(hours=4, minutes=1)
        for wrong in ({}, {"seconds": "soon"}, {"seconds": -1}):
            assert (await http.post("/offline/advance", json=wrong)).status_code == 400
    assert world.run("napper").status is RunStatus.COMPLETED


async def test_a_cron_fires_at_its_ticks_and_names_the_tick_as_its_event_id(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="0 9 * * *"))
    async def daily(ctx: inngest.Context) -> Any:
        return [ctx.event.name, ctx.event.id]

    await world.start()
    first = world.server.now().replace(hour=9, minute=0, second=0, microsecond=0)
    if first <= world.server.now():
        first += timedelta(days=1)
    await world.advance(days=3)
    expected = [["inngest/scheduled.timer", f"{first + timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}"] for n in range(3)]
    assert [run.output for run in world.runs("daily")] == expected


async def test_a_cron_follows_its_time_zone(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="TZ=Asia/Kathmandu 30 9 * * *"))
    async def daily(ctx: inngest.Context) -> Any:
        return ctx.event.id

    await world.start()
    await world.advance(days=1)
    tick = datetime.fromisoformat(world.run("daily").output)
    assert (tick.astimezone(UTC).hour, tick.minute) == (3, 45)


@pytest.mark.parametrize(("change", "before", "after"), [("2027-03-28", 8, 7), ("2027-10-31", 7, 8)])
async def test_a_cron_keeps_its_local_hour_over_a_change_of_the_clocks(
    world: World, change: str, before: int, after: int
) -> None:
    @world.on(inngest.TriggerCron(cron="TZ=Europe/Paris 0 9 * * *"))
    async def daily(ctx: inngest.Context) -> Any:
        return ctx.event.id

    day = datetime.fromisoformat(change).replace(tzinfo=UTC)
    world.server.engine.clock.jump_to((day - timedelta(days=1)).timestamp())
    await world.start()
    await world.advance(days=3)
    ticks = [datetime.fromisoformat(run.output) for run in world.runs("daily")]
    assert [tick.hour for tick in ticks] == [before, after, after]
    assert [tick.date() for tick in ticks] == [day.date() + timedelta(days=n) for n in (-1, 0, 1)]


async def test_a_tick_missed_while_the_app_was_down_runs_when_it_is_back(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="0 9 * * *"))
    async def daily(ctx: inngest.Context) -> Any:
        return [ctx.event.id, ctx.attempt]

    await world.start()
    await world.stop()
    to_nine = (9 * 3600 - world.server.now().timestamp()) % 86_400
    await world.advance(seconds=to_nine + 1)
    run = world.run("daily")
    (missed,) = run.attempts
    assert (missed.error or {})["message"].startswith("Unable to reach SDK URL")
    await world.start()
    await world.advance(minutes=1)
    assert (run.status, run.output) == (RunStatus.COMPLETED, [run.event.id, 1])


async def test_a_run_of_a_cron_may_sleep_past_the_next_tick(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="0 * * * *"))
    async def hourly(ctx: inngest.Context) -> Any:
        await ctx.step.sleep("nap", timedelta(minutes=90))
        return ctx.event.id

    await world.start()
    await world.advance(hours=4)
    done = [run for run in world.runs("hourly") if run.status is RunStatus.COMPLETED]
    assert [run.output for run in done] == [run.event.id for run in done]
    assert (len(world.runs("hourly")), len(done)) in {(4, 2), (4, 3)}


async def test_a_cron_that_a_sync_removes_stops(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="0 * * * *"))
    async def hourly(ctx: inngest.Context) -> None:
        world.log.append("tick")

    @world.on("never")
    async def other(ctx: inngest.Context) -> None: ...

    await world.start()
    await world.advance(hours=2)
    assert len(world.log) == 2
    await world.stop()
    world.functions.pop(0)
    await world.start()
    assert await world.advance(hours=2) == 0
    assert len(world.log) == 2


async def test_an_invoked_cron_says_that_it_was_invoked(world: World) -> None:
    @world.on(inngest.TriggerCron(cron="0 9 * * *"))
    async def daily(ctx: inngest.Context) -> Any:
        return ctx.event.name

    await world.start()
    run_id = world.server.invoke("app", "daily", {})
    await world.server.settle()
    assert world.server.run(run_id).output == "inngest/function.invoked"


async def test_a_step_that_is_being_retried_is_not_overtaken_by_time(world: World) -> None:
    @world.on("go", retries=3)
    async def fails(ctx: inngest.Context) -> None:
        async def broken() -> None:
            world.log.append("try")
            raise ValueError("boom")

        await ctx.step.run("s", broken)
        await ctx.step.run("never", note(world.log, "never"))

    await world.start()
    await world.sent("go")
    for _ in range(8):
        await world.advance(seconds=30)
    assert world.log == ["try"] * 4
    assert world.run("fails").status is RunStatus.FAILED
