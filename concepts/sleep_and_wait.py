"""Concept 8: sleep and wait.

The failure: a process sleeps for three days, or asks a table again and again for a day until a person has decided. All
that time it holds memory and a connection. The first deploy ends it, and the customer, the question and the time that
was left are forgotten.

The idea: `step.sleep` and `step.wait_for_event` end the call of the function. The engine keeps the time, and nothing of
the app runs. When the time is over or the event is there, the engine calls the version that is deployed by then. After
its timeout a wait returns None and raises nothing, so None needs a branch of its own.

A wait hears only events that come after it has begun; an earlier event is lost. So ask for an answer beside the wait
(`ctx.group.parallel`) and not before it, as the course does. The same holds for two waits in a row: one event ends one
wait, and the event for the second must not come during the first.

The worker listens to `refund/approval.decided` as well, so the name has the prefix `concepts/` here.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.idempotency import REFUND_REQUESTED
from concepts.shelf import client

APPROVAL_DECIDED = "concepts/refund/approval.decided"
# The expression is a constant. The course writes the request's id into it with an f-string, and an id with a quotation
# mark in it can then say yes to itself.
SAME_REQUEST = "async.data.request_id == event.data.request_id"
APPROVAL_FROM_CENTS = 10_000


@client.create_function(fn_id="trial-welcome-series", trigger=inngest.TriggerEvent(event="user/trial.started"))
async def welcome_series(ctx: inngest.Context) -> dict[str, str]:
    """Send two mails, three days apart."""
    user_id = str(ctx.event.data["user_id"])
    await ctx.step.run("send-welcome-email", outside.send_mail, user_id, "Welcome to your trial!")
    await ctx.step.sleep("wait-three-days", timedelta(days=3))
    await ctx.step.run("send-followup", outside.send_mail, user_id, "How is it going?")
    return {"status": "completed"}


@client.create_function(
    fn_id="refund-with-approval",
    trigger=inngest.TriggerEvent(event=REFUND_REQUESTED, expression="event.data.request_id != null"),
)
async def refund_with_approval(ctx: inngest.Context) -> dict[str, str]:
    """Pay less than 100 dollars at once, and more only if a person approves within 24 hours."""
    request_id, amount_cents = str(ctx.event.data["request_id"]), int(str(ctx.event.data["amount_cents"]))
    if amount_cents >= APPROVAL_FROM_CENTS:
        _, approval = await ctx.group.parallel(
            (
                lambda: ctx.step.run("notify-approver", outside.tell_team, f"Refund {amount_cents}? {request_id}"),
                lambda: ctx.step.wait_for_event(
                    "wait-for-approval", event=APPROVAL_DECIDED, if_exp=SAME_REQUEST, timeout=timedelta(hours=24)
                ),
            )
        )
        # Only the value true approves. A plain `if` would take the text "false" for a yes.
        if approval is None or approval.data.get("approved") is not True:
            return {"status": "rejected_or_timeout"}
    refund_id = await ctx.step.run("issue-stripe-refund", outside.pay, request_id, amount_cents, request_id)
    return {"status": "issued", "refund_id": refund_id}


@client.create_function(fn_id="investigate-failed-refund", trigger=inngest.TriggerEvent(event="customer/refund.failed"))
async def investigate(ctx: inngest.Context) -> dict[str, str]:
    """Ask a person to look at a refund that failed. After four hours without an answer, a senior reviewer is asked."""
    request_id = str(ctx.event.data["request_id"])
    _, started = await ctx.group.parallel(
        (
            lambda: ctx.step.run("notify-on-call", outside.tell_team, f"Investigate? {request_id}"),
            lambda: ctx.step.wait_for_event(
                "wait-for-investigation",
                event="customer/refund.investigation_started",
                if_exp=SAME_REQUEST,
                timeout=timedelta(hours=4),
            ),
        )
    )
    if started is None:
        escalated = inngest.Event(name="customer/refund.escalated", data={"request_id": request_id})
        await ctx.step.send_event("escalate", escalated)
        return {"status": "escalated"}
    summary = await ctx.step.run("draft-summary", outside.ask_model, f"Why did refund {request_id} fail?")
    return {"status": "investigated", "summary": summary}
