"""Concept 2: cron.

The failure: a line in one machine's crontab starts the morning's work. At nine the machine is down, and nobody hears of
it. Or the clocks change, and the shop in Paris opens an hour late. Or the job fails halfway and nobody tries it again.

The idea: the schedule is written beside the function, and the engine keeps it. Each tick is an event that starts a run
like any other, with steps, retries and sleeps. A run waits for an app that is down (20 retries last about a day). The
id of its event is the tick itself, for example `2026-11-23T09:00:00Z`, and stays the same however often the run is
retried. Anyone can also invoke the function by hand at any time; that does not change the schedule.

A schedule is in UTC unless it names a time zone. In a named zone nine is nine on its clocks, in summer and in winter.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import inngest

import db
from concepts.shelf import client

# One row for each of the four whole weeks (Monday to Sunday, UTC) before $1. An email whose run was started again is
# still one conversation. The seconds are the time that people took to decide; a refund that expired has none.
WEEKS = """
select to_char(monday, 'YYYY-MM-DD') as week, audited.*, decided.*
from generate_series(
    date_trunc('week', $1::timestamptz at time zone 'UTC') - interval '28 days',
    date_trunc('week', $1::timestamptz at time zone 'UTC') - interval '7 days',
    interval '7 days'
) as monday,
lateral (
    select count(distinct coalesce(detail ->> 'event_id', run_id)) filter (where action = 'message_received')
               as conversations,
           count(*) filter (where action = 'refund_issued') as refunds_issued,
           count(*) filter (where action = 'refund_blocked') as refunds_blocked
    from audit_log where date_trunc('week', created_at at time zone 'UTC') = monday
) as audited,
lateral (
    select percentile_cont(0.5) within group (order by extract(epoch from decided_at - requested_at)::float8)
               as approval_seconds_median,
           max(extract(epoch from decided_at - requested_at))::float8 as approval_seconds_slowest
    from refunds
    where decision in ('approved', 'rejected') and date_trunc('week', decided_at at time zone 'UTC') = monday
) as decided
order by monday
"""


async def read_weeks(milliseconds: int) -> list[dict[str, Any]]:
    """Return the four weeks before this time, oldest first. The time is in milliseconds since 1970, as in an event."""
    return await db.fetch(WEEKS, datetime.fromtimestamp(milliseconds / 1000, UTC))


@client.create_function(fn_id="cron-weekly-report", trigger=inngest.TriggerCron(cron="0 9 * * 1"), retries=20)
async def weekly_report(ctx: inngest.Context) -> list[dict[str, Any]]:
    """Every Monday at nine, UTC. It takes its event's time, so that a late or repeated run reports the same weeks."""
    return await ctx.step.run("read-weeks", read_weeks, ctx.event.ts)


async def digest(tick: str) -> str:
    """Stands for the work of every morning."""
    return f"digest of {tick}"


@client.create_function(fn_id="cron-daily-digest", trigger=inngest.TriggerCron(cron="0 9 * * *"), retries=20)
async def daily_digest(ctx: inngest.Context) -> str:
    """Runs every day at nine, UTC."""
    return await ctx.step.run("digest", digest, ctx.event.id)


async def turn_sign(side: str, tick: str) -> str:
    """Stands for turning the sign on the shop's door."""
    return f"{side} on {tick}"


@client.create_function(
    fn_id="cron-shop-in-paris", trigger=inngest.TriggerCron(cron="TZ=Europe/Paris 0 9 * * *"), retries=20
)
async def shop_in_paris(ctx: inngest.Context) -> list[str]:
    """Runs every day at nine in Paris and goes on eight hours later: the run of a schedule sleeps like any other."""
    opened = await ctx.step.run("open", turn_sign, "open", ctx.event.id)
    await ctx.step.sleep("business-hours", timedelta(hours=8))
    return [opened, await ctx.step.run("close", turn_sign, "closed", ctx.event.id)]
