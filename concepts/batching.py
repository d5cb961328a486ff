"""Concept 13: batching.

The failure: a campaign is opened by 10,000 people, every opening is an event, every event a run, every run an insert.
The database takes 10,000 single writes, its connections run out, and the support desk beside it stands still.

The idea: the engine collects events and starts one run with up to 50 of them, or with what has come in after 30
seconds. The function gets them as `ctx.events` and makes one bulk call. A key keeps accounts apart, a condition lets
in only what can wait; what does not match it starts a run of its own at once.

A batch is one run: it succeeds or is retried whole. So its work is one step, and each event is written under its own
id: if the process dies after the write, the retry writes nothing twice.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

OPENED = inngest.TriggerEvent(event="concepts/batching.mail-opened")


@client.create_function(
    fn_id="store-openings-in-bulk",
    trigger=OPENED,
    batch_events=inngest.Batch(
        max_size=50,
        timeout=timedelta(seconds=30),
        key="event.data.account_id",
        if_exp="event.data.account_id != 'live-demo'",
    ),
)
async def store_openings_in_bulk(ctx: inngest.Context) -> int:
    """Fifty openings of one account, one call to the database. The live demo's are stored at once."""
    rows = {event.id: dict(event.data) for event in ctx.events}
    return await ctx.step.run("store", outside.store, rows)


@client.create_function(fn_id="store-openings-one-by-one-wrong", trigger=OPENED)
async def store_openings_one_by_one_wrong(ctx: inngest.Context) -> int:
    """What the batch replaces: fifty runs and fifty calls."""
    return await ctx.step.run("store", outside.store, {f"single-{ctx.event.id}": dict(ctx.event.data)})
