"""Concept 2 proven by ticks, runs and rows: time is the stand-in's, the tables are a real Postgres's."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import inngest
import pytest

import db
from concepts import cron, outside, weekly_report
from concepts.shelf import client
from offline.inngest_server import DevServer
from tests.concepts.killable_shelf import apart, serving
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL

PARIS = ZoneInfo("Europe/Paris")
MONDAY = 0


@asynccontextmanager
async def clock_at(when: datetime, *functions: inngest.Function[Any]) -> AsyncIterator[DevServer]:
    """An engine whose clock stands at `when` before it hears of these functions, so that no tick lies behind them."""
    if OFFICIAL:
        pytest.skip("the official server's clock cannot be moved")
    async with DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, poll=False) as engine:
        await engine.advance(when - engine.now())
        async with serving(functions):
            yield engine


def outputs(engine: DevServer, function: inngest.Function[Any]) -> list[Any]:
    """What the function's runs returned, oldest first."""
    runs = [run for run in reversed(engine.runs()) if run.function.local_id == function.local_id]
    return [run.output for run in runs]


def next_day(weekday: int | None = None, *, hour: int = 0, minute: int = 0) -> datetime:
    """The next such time in UTC, tomorrow or later."""
    day = datetime.now(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=1)
    while weekday is not None and day.weekday() != weekday:
        day += timedelta(days=1)
    return day


def change_of_clocks(hours: int) -> datetime:
    """Midnight, UTC, a day before the one on which the clocks in Paris are next put forward (1) or back (-1)."""
    eve = next_day()
    while offset(eve + timedelta(days=2)) - offset(eve + timedelta(days=1)) != timedelta(hours=hours):
        eve += timedelta(days=1)
    return eve


def offset(when: datetime) -> timedelta:
    found = when.astimezone(PARIS).utcoffset()
    assert found is not None
    return found


def ticks(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text.rpartition(" ")[2]) for text in texts]


async def test_every_day_at_nine_there_is_one_run_and_its_event_is_the_tick() -> None:
    tomorrow = next_day(hour=8, minute=59)
    async with clock_at(tomorrow, cron.daily_report) as engine:
        await engine.advance(timedelta(minutes=2))
        assert outputs(engine, cron.daily_report)[0].endswith(f"of {tomorrow:%Y-%m-%d}T09:00:00Z")
        await engine.advance(timedelta(days=3))
        assert [tick.time().isoformat() for tick in ticks(outputs(engine, cron.daily_report))] == ["09:00:00"] * 4


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.conformance("Events", "A cron keeps the hour of its time zone when the clocks change.")
async def test_nine_in_paris_stays_nine_when_the_clocks_change(hours: int) -> None:
    async with clock_at(change_of_clocks(hours), cron.daily_report, cron.shop_in_paris) as engine:
        await engine.advance(timedelta(days=2))
        before, after = ticks([opened for opened, _ in outputs(engine, cron.shop_in_paris)])
        assert [tick.astimezone(PARIS).hour for tick in (before, after)] == [9, 9]
        assert after - before == timedelta(hours=24 - hours)
        before, after = ticks(outputs(engine, cron.daily_report))
        assert [tick.hour for tick in (before, after)] == [9, 9]
        assert after.astimezone(PARIS).hour - before.astimezone(PARIS).hour == hours


async def test_a_tick_missed_while_the_app_was_down_runs_when_it_is_back(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start()
        program.kill()
        # Both skip where the clock cannot be moved.
        await shelf.advance(minutes=0)
        assert shelf.stand_in
        nine = shelf.stand_in.now().replace(hour=9, minute=0, second=0, microsecond=0)
        nine += timedelta(days=nine <= shelf.stand_in.now())
        await shelf.stand_in.advance(nine - shelf.stand_in.now() + timedelta(hours=4))
        assert [run.status for run in await shelf.runs("scheduled/daily-report")] == ["Running"]
        await program.start()
        await shelf.advance(hours=3)
        [report] = await shelf.outputs("scheduled/daily-report")
        assert report.endswith(f"of {nine:%Y-%m-%d}T09:00:00Z")
        assert len(await shelf.runs("scheduled/daily-report")) == 1


async def test_a_run_of_a_cron_sleeps_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    turned: list[str] = []

    async def turn_sign(side: str, tick: str) -> str:
        turned.append(side)
        return tick

    monkeypatch.setattr(cron, "turn_sign", turn_sign)
    morning = next_day().astimezone(PARIS).replace(hour=8, minute=59)
    async with clock_at(morning, cron.shop_in_paris) as engine:
        await engine.advance(timedelta(hours=8))
        assert turned == ["open"]
        await engine.advance(timedelta(minutes=2))
        assert turned == ["open", "closed"]


async def test_runs_overlap_that_take_longer_than_their_schedule() -> None:
    @client.create_function(fn_id="slow", trigger=inngest.TriggerCron(cron="*/15 * * * *"))
    async def slow(ctx: inngest.Context) -> None:
        await ctx.step.sleep("work", timedelta(minutes=45))

    async with clock_at(next_day(hour=8, minute=59), slow) as engine:
        await engine.advance(timedelta(minutes=40))
        assert [str(run.status) for run in engine.runs()] == ["Running"] * 3


@pytest.mark.conformance("Events", "A cron's function can be invoked by hand.")
async def test_a_cron_is_invoked_by_hand_at_any_time(shelf: Shelf) -> None:
    await shelf.invoke("concepts-daily-customer-health-check")
    assert await shelf.outputs("daily-customer-health-check") == [{"customers_scheduled": 3}]
    assert sorted(await shelf.asked("check_health", 3)) == ["cust_001", "cust_002", "cust_003"]
    assert len(await shelf.runs("daily-customer-health-check")) == 1


async def test_a_report_that_cannot_be_sent_is_not_written_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    async def generate_report(tick: str) -> str:
        written.append(tick)
        return f"report number {len(written)}"

    monkeypatch.setattr(cron, "generate_report", generate_report)
    outside.fail("publish", ConnectionError("the page is down"))
    await shelf.invoke("concepts-scheduled/daily-report")
    await shelf.until(lambda: outside.asked("publish") != [])
    await shelf.past_retries()
    await shelf.ended("scheduled/daily-report")
    assert outside.asked("publish") == ["report number 1"] * 2


# The weekly report


async def audited(action: str, at: datetime, run_id: str = "") -> None:
    """A row of the audit trail as of then."""
    await db.fetch(
        "insert into audit_log (key, action, run_id, created_at) values ($1, $2, $3, $4) returning id",
        f"{action}-{at}-{run_id}",
        action,
        run_id or f"{action}-{at}",
        at,
    )


async def some_rows(monday: datetime) -> dict[str, Any]:
    """Rows around and in the week before that Monday; the report they make."""
    last, instant = monday - timedelta(weeks=1), timedelta(microseconds=1)
    for run_id, sent, seconds in (("quick", last, 10), ("slow", monday - instant, 90), ("early", last - instant, 5)):
        await audited("message_received", sent - timedelta(seconds=seconds), run_id)
        await audited("message_sent", sent, run_id)
    await audited("message_received", last)  # not answered yet
    for action in ("refund_issued", "refund_blocked", "run_failed"):
        await audited(action, last)
        await audited(action, last - instant)
        await audited(action, monday)
    await audited("refund_issued", monday - instant)
    return {"week": f"{last:%Y-%m-%d}", "resolved": 2, "average_seconds": 50, "escalations": 1, "refunds_issued": 2}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=9), timedelta(days=7, microseconds=-1000)])
async def test_the_report_counts_the_rows_of_the_whole_week_before(later: timedelta) -> None:
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    report = await some_rows(monday)
    assert await weekly_report.read_week(int((monday + later).timestamp() * 1000)) == report


@pytest.mark.usefixtures("database")
async def test_the_report_of_a_week_without_a_row_is_made_all_the_same() -> None:
    report = await weekly_report.read_week(int(datetime(2026, 3, 4, tzinfo=UTC).timestamp() * 1000))
    figures = {"resolved": 0, "average_seconds": None, "escalations": 0, "refunds_issued": 0}
    assert report == {"week": "2026-02-23"} | figures


@pytest.mark.usefixtures("database")
async def test_the_report_is_made_on_mondays_at_nine_as_json() -> None:
    sunday = next_day(MONDAY) - timedelta(days=1)
    report = await some_rows(sunday + timedelta(days=1))
    async with clock_at(sunday, cron.monday_report) as engine:
        await engine.advance(timedelta(days=1, hours=8, minutes=59))
        assert engine.runs() == []
        await engine.advance(timedelta(minutes=2))
        assert outputs(engine, cron.monday_report) == [report]
        await engine.advance(timedelta(days=6))
        assert len(engine.runs()) == 1


@pytest.mark.usefixtures("database")
async def test_the_report_can_be_asked_for_by_hand(shelf: Shelf) -> None:
    now = datetime.now(UTC)
    report = await some_rows(now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday()))
    await shelf.invoke("concepts-weekly-report")
    assert await shelf.outputs("weekly-report") == [report]
