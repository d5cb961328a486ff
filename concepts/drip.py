"""Beside the concepts: a drip campaign over days.

The failure: a nightly job reads a table of who should get which letter. A customer who bought at noon is asked in the
evening whether she is still undecided. One who unsubscribed gets the letter that was already queued. And three letters
need a table, a job and its state.

The idea: the campaign is one function that reads from top to bottom. Between two letters it waits for the event that
would make the next letter wrong, and the wait's timeout is the pause between them. The event that ends the campaign at
any point is not waited for at all: the engine cancels the run when it comes.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

# How long the customer may think about it after each letter.
LETTERS = {"welcome": timedelta(days=2), "tips": timedelta(days=3), "offer": timedelta(days=7)}
SAME_CUSTOMER = "async.data.customer_id == event.data.customer_id"


@client.create_function(
    fn_id="drip-campaign",
    trigger=inngest.TriggerEvent(event="concepts/drip.signed_up"),
    cancel=[inngest.Cancel(event="concepts/drip.unsubscribed", if_exp=SAME_CUSTOMER)],
)
async def campaign(ctx: inngest.Context) -> str:
    """Send one letter after the other until the customer buys. Returns how the campaign ended."""
    customer_id = str(ctx.event.data["customer_id"])
    for letter, pause in LETTERS.items():
        await ctx.step.run(f"send-{letter}", outside.send_mail, customer_id, letter)
        bought = await ctx.step.wait_for_event(
            f"await-purchase-after-{letter}", event="concepts/drip.bought", if_exp=SAME_CUSTOMER, timeout=pause
        )
        if bought is not None:
            await ctx.step.run("send-thanks", outside.send_mail, customer_id, "thanks")
            return f"bought after {letter}"
    return "never bought"
