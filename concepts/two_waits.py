"""Beside the concepts: two waits in a row.

The failure: a large refund needs two signatures. The first is asked for and then the second, in one sequence, and
finance signs while the lead still thinks. That event ends no wait, because the second wait has not begun. The run then
waits for a signature that was given long ago.

The idea: one event ends one wait, the one that has begun. So each question is asked beside its own wait and not before
it, and nobody is asked before their wait exists. Each wait has its own timeout, which starts when the wait does: two
waits of a day may last two days. (An older revision of the course says that one event ends both waits.)
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client

# One constant for each role. The worker's approvals know no roles, so the event's name is the shelf's own.
SIGNED_BY = {
    "lead": "async.data.request_id == event.id && async.data.role == 'lead'",
    "finance": "async.data.request_id == event.id && async.data.role == 'finance'",
}


async def signed(ctx: inngest.Context, role: str) -> bool:
    """Ask one role to sign, and wait a day. Returns False after a no, and when nobody has answered."""
    _, answer = await ctx.group.parallel(
        (
            lambda: ctx.step.run(f"ask-{role}", outside.tell_team, f"{role}: sign refund {ctx.event.id}?"),
            lambda: ctx.step.wait_for_event(
                f"wait-for-{role}",
                event="concepts/two_waits.signed",
                if_exp=SIGNED_BY[role],
                timeout=timedelta(hours=24),
            ),
        )
    )
    return answer is not None and answer.data.get("approved") is True


@client.create_function(
    fn_id="refund-with-two-signatures", trigger=inngest.TriggerEvent(event="concepts/two_waits.refund")
)
async def refund_with_two_signatures(ctx: inngest.Context) -> str:
    """Finance is asked only after the lead has signed. Returns the bank's reference, or "not paid"."""
    if await signed(ctx, "lead") and await signed(ctx, "finance"):
        order_id, amount_cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["amount_cents"]))
        return await ctx.step.run("pay", outside.pay, order_id, amount_cents, ctx.event.id)
    return "not paid"
