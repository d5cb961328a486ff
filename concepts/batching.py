"""Concept 13: batching.

The failure: 10,000 people open the mail of a campaign. Every opening is an event, every event is a run and every run is
an insert. After 10,000 single writes the database has no connection left, and the support desk beside it stands still.

The idea: the engine collects events and starts one run with 50 of them, or with as many as have come after 30 seconds.
The function finds them in `ctx.events` and makes one call to the database. A key keeps accounts apart. A condition says
which events may wait; any other event starts a run of its own at once.

A batch is one run, which succeeds or is retried as a whole. So its work is one step, and each event is written under
its own id: if the process dies after the write, the retry writes nothing twice.
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
    """Store up to fifty openings of one account in one call. Those of the account "live-demo" do not wait."""
    rows = {event.id: dict(event.data) for event in ctx.events}
    return await ctx.step.run("store", outside.store, rows)


@client.create_function(fn_id="store-openings-one-by-one-wrong", trigger=OPENED)
async def store_openings_one_by_one_wrong(ctx: inngest.Context) -> int:
    """The failure: fifty openings are fifty runs and fifty calls."""
    return await ctx.step.run("store", outside.store, {f"single-{ctx.event.id}": dict(ctx.event.data)})
