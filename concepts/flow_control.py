"""Concept 11: concurrency and throttle, and beside them rate limit, debounce and singleton.

The failure: a newsletter goes out, and 1,000 customers answer within a minute. A thousand calls to the model start at
once, and its provider refuses most of them. The retries come on top, and whoever wrote first still has no answer.

The idea: the engine keeps the queue. Concurrency limits how many steps run at the same time, and throttle how many runs
start in a period. Both delay runs and drop none. Rate limit, debounce and singleton drop or merge events: use them only
where the surplus is worthless, and never for a customer's email.

Neither limit starts anew with each period. A throttle "of 30 a minute" starts 31 runs of a burst at once and then one
every two seconds; a rate limit "of 30 a minute" takes 4 and drops 26 (seen in the dev server of November 2026).
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

SAVED = inngest.TriggerEvent(event="concepts/flow_control.document-saved")


@client.create_function(
    fn_id="answer-ten-at-once",
    trigger=inngest.TriggerEvent(event="concepts/flow_control.email"),
    concurrency=[inngest.Concurrency(limit=10), inngest.Concurrency(limit=2, key="event.data.customer_id")],
)
async def answer_ten_at_once(ctx: inngest.Context) -> None:
    """Concurrency: ten answers are written at a time, and at most two of them to one customer."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["number"])


@client.create_function(
    fn_id="answer-thirty-a-minute",
    trigger=inngest.TriggerEvent(event="concepts/flow_control.bulk-email"),
    throttle=inngest.Throttle(limit=30, period=timedelta(minutes=1)),
)
async def answer_thirty_a_minute(ctx: inngest.Context) -> None:
    """Throttle: thirty runs start per minute, and the others wait for their turn."""
    await ctx.step.run("write", outside.write_answer, str(ctx.event.data["customer_id"]), ctx.event.data["number"])


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
    debounce=inngest.Debounce(period=timedelta(seconds=10), key="event.data.document_id"),
)
async def index_after_quiet(ctx: inngest.Context) -> None:
    """Debounce: ten seconds after the last event of a burst, one run starts with that last event."""
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
