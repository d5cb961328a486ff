"""Beside the concepts: rate limit, debounce and singleton, for events of which one is enough.

The failure: a document is saved forty times while somebody types. Forty times it is announced, indexed, imported and
exported, and the older export is ready after the newer one and overwrites it.

The idea: three limits start fewer runs than there are events. A rate limit takes the first event of a burst, a debounce
the last, and a singleton has one run at a time. The others are dropped, so use them only where the surplus is worth
nothing, and never for a customer's email.

A rate limit does not start anew with each period: "30 a minute" takes 4 of a burst and drops 26 (seen in the dev server
of November 2026).
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

SAVED = inngest.TriggerEvent(event="concepts/surplus.document-saved")


@client.create_function(
    fn_id="announce-once-a-minute",
    trigger=SAVED,
    rate_limit=inngest.RateLimit(limit=1, period=timedelta(minutes=1), key="event.data.document_id"),
)
async def announce_once_a_minute(ctx: inngest.Context) -> None:
    """Rate limit: the first event of a burst starts a run, and the others are dropped."""
    await ctx.step.run("tell", outside.tell_team, f"announced version {ctx.event.data['version']}")


@client.create_function(
    fn_id="index-after-quiet",
    trigger=SAVED,
    debounce=inngest.Debounce(
        period=timedelta(seconds=10), timeout=timedelta(seconds=30), key="event.data.document_id"
    ),
)
async def index_after_quiet(ctx: inngest.Context) -> None:
    """Debounce: one run, with the last event, ten seconds after it; at the latest 30 seconds after the first."""
    await ctx.step.run("tell", outside.tell_team, f"indexed version {ctx.event.data['version']}")


@client.create_function(
    fn_id="import-unless-running", trigger=SAVED, singleton=inngest.Singleton(mode="skip", key="event.data.document_id")
)
async def import_unless_running(ctx: inngest.Context) -> None:
    """Singleton: while one run is under way, even asleep, further events are dropped."""
    await ctx.step.sleep("import", timedelta(seconds=10))
    await ctx.step.run("tell", outside.tell_team, f"imported version {ctx.event.data['version']}")


@client.create_function(
    fn_id="export-the-newest", trigger=SAVED, singleton=inngest.Singleton(mode="cancel", key="event.data.document_id")
)
async def export_the_newest(ctx: inngest.Context) -> None:
    """Singleton in cancel mode: a new event cancels the run that is under way and starts its own."""
    await ctx.step.sleep("export", timedelta(seconds=10))
    await ctx.step.run("tell", outside.tell_team, f"exported version {ctx.event.data['version']}")
