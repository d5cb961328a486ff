"""Concept 2: cron.

The failure: the morning's work is started by a line in one machine's crontab. The machine is away at nine, and
nobody hears of it; the clocks change, and the shop in Paris opens an hour late; the job fails halfway, until tomorrow.

The idea: the schedule stands beside the function, and the engine keeps it. Each tick is an event that starts a run like
any other: with steps, retries and sleeps, and it waits for an app that is away (20 retries last about a day). The id of
the event is the tick itself, e.g. `2026-11-23T09:00:00Z`, the same however often the run is tried. A function can be
invoked by hand at any time, with whatever data; the schedule does not change for it.

Schedules are in UTC, unless they name a zone: then nine is nine on its clocks, in summer and in winter.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import inngest

import db
from concepts.shelf import client

# The four whole weeks (Monday to Sunday, UTC) before $1. An email that was run anew is one conversation still. Approval
# times are those of people: what expired undecided is not among them.
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
    """The report's weeks, oldest first; `milliseconds` since the epoch say before when."""
    return await db.fetch(WEEKS, datetime.fromtimestamp(milliseconds / 1000, UTC))


@client.create_function(fn_id="cron-weekly-report", trigger=inngest.TriggerCron(cron="0 9 * * 1"), retries=20)
async def weekly_report(ctx: inngest.Context) -> list[dict[str, Any]]:
    """Mondays. The time of the event, not of the clock: a late or repeated run reports the same weeks."""
    return await ctx.step.run("read-weeks", read_weeks, ctx.event.ts)


async def digest(tick: str) -> str:
    """What happens every morning."""
    return f"digest of {tick}"


@client.create_function(fn_id="cron-daily-digest", trigger=inngest.TriggerCron(cron="0 9 * * *"), retries=20)
async def daily_digest(ctx: inngest.Context) -> str:
    """Every day at nine, UTC."""
    return await ctx.step.run("digest", digest, ctx.event.id)


async def turn_sign(side: str, tick: str) -> str:
    """The sign on the shop's door."""
    return f"{side} on {tick}"


@client.create_function(
    fn_id="cron-shop-in-paris", trigger=inngest.TriggerCron(cron="TZ=Europe/Paris 0 9 * * *"), retries=20
)
async def shop_in_paris(ctx: inngest.Context) -> list[str]:
    """Every day at nine in Paris, and eight hours later: a run that began by the clock sleeps like any other."""
    opened = await ctx.step.run("open", turn_sign, "open", ctx.event.id)
    await ctx.step.sleep("business-hours", timedelta(hours=8))
    return [opened, await ctx.step.run("close", turn_sign, "closed", ctx.event.id)]
