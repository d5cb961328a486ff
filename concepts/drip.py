"""Beside the concepts: a drip campaign over days.

The failure: a nightly job reads a table of who should get which letter. A customer who bought at noon is asked in the
evening whether she is still undecided. One who unsubscribed gets the letter that was already queued. And three letters
need a table, a job and its state.

The idea: the campaign is one function that reads from top to bottom. Where nothing can go wrong between two letters, it
sleeps. Otherwise it waits for the event that would make the next letter wrong, and the wait's timeout is the pause. The
event that ends the campaign at any point is not waited for at all: the engine cancels the run when it comes.

The course's guide writes durations as text, "1d". The Python SDK takes a timedelta (inngest 0.5.19 raises an error).
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

SAME_USER = "async.data.user_id == event.data.user_id"


@client.create_function(
    fn_id="onboarding/drip-campaign",
    trigger=inngest.TriggerEvent(event="user/signed-up"),
    cancel=[inngest.Cancel(event="user/unsubscribed", if_exp=SAME_USER)],
)
async def drip_campaign(ctx: inngest.Context) -> dict[str, object]:
    """Send three letters over four days, and stop when the user buys. Returns how many were sent."""
    user_id = str(ctx.event.data["user_id"])
    await ctx.step.run("welcome-email", outside.send_mail, user_id, "welcome")
    await ctx.step.sleep("wait-1-day", timedelta(days=1))
    await ctx.step.run("tips-email", outside.send_mail, user_id, "tips")
    bought = await ctx.step.wait_for_event(
        "wait-3-days", event="user/bought", if_exp=SAME_USER, timeout=timedelta(days=3)
    )
    if bought is not None:
        return {"status": "bought", "emails_sent": 2}
    await ctx.step.run("feature-email", outside.send_mail, user_id, "features")
    return {"status": "completed", "emails_sent": 3}
