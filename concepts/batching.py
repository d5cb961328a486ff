"""Concept 13: batching.

The failure: 10,000 tickets are resolved, and each must be made searchable. Every ticket is an event, every event is a
run, and every run calls the embedding model once and the database twice. After 10,000 single calls the database has no
connection left, and the support desk beside it stands still.

The idea: the engine collects events and starts one run with 50 of them, or with as many as have come after 30 seconds.
The function finds them in `ctx.events` and makes one call where fifty were. A key keeps accounts apart. A condition
says which events may wait; any other event starts a run of its own at once.

A batch is one run, which succeeds or is retried as a whole. So each ticket is written under its own id: if the process
dies after the write, the retry writes nothing twice. Together with concurrency it limits how many batches run at once.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

RESOLVED = inngest.TriggerEvent(event="ticket/resolved")


@client.create_function(
    fn_id="batch-embed-tickets",
    trigger=RESOLVED,
    batch_events=inngest.Batch(
        max_size=50,
        timeout=timedelta(seconds=30),
        key="event.data.account_id",
        if_exp="event.data.account_id != 'live-demo'",
    ),
)
async def batch_embed_resolved_tickets(ctx: inngest.Context) -> dict[str, int]:
    """Embed up to fifty tickets of one account in one call. Those of the account "live-demo" do not wait."""
    ticket_ids = [str(event.data["ticket_id"]) for event in ctx.events]
    texts = await ctx.step.run("load-tickets", outside.load_tickets, ticket_ids)
    embeddings = await ctx.step.run("embed-batch", outside.embed, texts)
    rows = dict(zip(ticket_ids, embeddings, strict=True))
    await ctx.step.run("store-embeddings", outside.store, rows)
    embedded = [
        inngest.Event(name="ticket/embedded", id=f"embedded-{ticket_id}", data={"ticket_id": ticket_id})
        for ticket_id in ticket_ids
    ]
    await ctx.step.send_event("tell-the-others", embedded)
    return {"batched": len(ctx.events)}


@client.create_function(fn_id="embed-one-ticket-wrong", trigger=RESOLVED)
async def embed_one_ticket_wrong(ctx: inngest.Context) -> dict[str, int]:
    """The failure: fifty tickets are fifty runs, and fifty calls of each kind."""
    ticket_id = str(ctx.event.data["ticket_id"])
    texts = await ctx.step.run("load-ticket", outside.load_tickets, [ticket_id])
    [embedding] = await ctx.step.run("embed", outside.embed, texts)
    await ctx.step.run("store", outside.store, {f"single-{ticket_id}": embedding})
    return {"batched": 1}
