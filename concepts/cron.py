"""Concept 2: cron.

The failure: a line in one machine's crontab starts the morning's work. At nine the machine is down, and nobody hears of
it. Or the clocks change, and the shop in Paris opens an hour late. Or the job fails halfway and nobody tries it again.

The idea: the schedule is written beside the function, and the engine keeps it. Each tick is an event that starts a run
like any other, with steps, retries and sleeps. A run waits for an app that is down (20 retries last about a day). The
id of its event is the tick itself, for example `2026-11-23T09:00:00Z`, and stays the same however often the run is
retried. Anyone can also invoke the function by hand at any time; that does not change the schedule.

A schedule is in UTC unless its text names a time zone; there is no separate argument for it. In a named zone nine is
nine on its clocks, in summer and in winter. The event `customer/health_check.requested` is the worker's too, so its
name has the prefix `concepts/` here.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside, weekly_report
from concepts.shelf import client

HEALTH_CHECK = "concepts/customer/health_check.requested"
DAILY_AT_NINE = inngest.TriggerCron(cron="0 9 * * *")


async def fetch_pro_customer_ids() -> list[str]:
    """Stands for a query of the database. Returns the customers whose tier includes the health check."""
    return ["cust_001", "cust_002", "cust_003"]


@client.create_function(fn_id="daily-customer-health-check", trigger=DAILY_AT_NINE, retries=20)
async def daily_health_check(ctx: inngest.Context) -> dict[str, int]:
    """Every day at nine, UTC: send one event, and so start one run, for each customer. Concept 5 has that run."""
    customers = await ctx.step.run("fetch-pro-customers", fetch_pro_customer_ids)
    events = [
        inngest.Event(
            name=HEALTH_CHECK, id=f"daily-health-{customer_id}-{ctx.event.id}", data={"customer_id": customer_id}
        )
        for customer_id in customers
    ]
    await ctx.step.send_event("fan-out", events)
    return {"customers_scheduled": len(customers)}


@client.create_function(fn_id="weekly-report", trigger=inngest.TriggerCron(cron="0 9 * * 1"), retries=20)
async def monday_report(ctx: inngest.Context) -> dict[str, Any]:
    """Every Monday at nine, UTC. It takes its event's time, so that a late or repeated run reports the same week."""
    return await ctx.step.run("read-week", weekly_report.read_week, ctx.event.ts)


async def generate_report(tick: str) -> str:
    """Stands for the work of every morning."""
    return f"report of {tick}"


@client.create_function(fn_id="scheduled/daily-report", trigger=DAILY_AT_NINE, retries=20)
async def daily_report(ctx: inngest.Context) -> str:
    """Generate the report, then send it. The two are separate steps, so a page that is down costs no new report."""
    report = await ctx.step.run("generate-report", generate_report, ctx.event.id)
    await ctx.step.run("send-report", outside.publish, report)
    return report


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
