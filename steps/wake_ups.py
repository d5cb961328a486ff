"""Events get lost; what stands in the tables is acted on all the same, soon after."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import inngest

import db
from people import lost
from refunds import ledger, payments
from steps import retention
from steps.retries import retry_chat

DECIDED = "refund/approval.decided"
# The desk's events name the refund; the course's do not, and neither does a repeated one.
OF_THE_DESK = "event.data.refund_id != null && event.data.repeated == null"
# In this time a run that heard of the decision has acted on it, unless the model is slow; then one event more is sent.
ACTED_ON = timedelta(seconds=20)


def functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    """`resend-wake-ups`, `repeat-wake-up` and, another cron, `erase-old-texts`."""

    async def send(events: Sequence[Any]) -> None:
        await client.send([inngest.Event(**event) for event in events])

    @client.create_function(fn_id="resend-wake-ups", trigger=inngest.TriggerCron(cron="*/5 * * * *"))
    async def resend_wake_ups(ctx: inngest.Context) -> int:
        """Wake the runs that did not hear of a decision, close and hand over what was lost, finish payments."""
        left = await ctx.step.run("find-what-was-left", find_what_was_left)
        wake_ups = [
            inngest.Event(
                name=DECIDED,
                # The event id of a scheduled run is its tick: each tick sends a wake-up once.
                id=f"wake-up-{row['id']}-{ctx.event.id}",
                data={"request_id": row["request_id"], "refund_id": row["id"], "repeated": True},
            )
            for row in left["unapplied"]
        ]
        if wake_ups:
            await ctx.step.send_event("send-wake-ups", wake_ups)
        if left["emails"]:
            await ctx.step.run("send-emails-again", partial(lost.send_again, send))
        if left["untold"]:
            await ctx.step.run("tell-people", tell_people)
        if left["unfinished_payments"]:
            # This comes last, because a provider that is down must not hold up the wake-ups.
            await ctx.step.run("finish-payments", payments.finish_payments)
        return len(wake_ups)

    # A run that is between two waits does not hear of a decision. To find it within a minute, the cron would have to
    # run 43,000 times a month; this costs one run of two or three steps for each decision.
    @client.create_function(fn_id="repeat-wake-up", trigger=inngest.TriggerEvent(event=DECIDED, expression=OF_THE_DESK))
    async def repeat_wake_up(ctx: inngest.Context) -> None:
        """Send the wake-up of a decision once more, if it was not acted on."""
        await ctx.step.sleep("let-the-run-act", ACTED_ON)
        if await ctx.step.run("is-it-acted-on", is_acted_on, ctx.event.data["refund_id"]):
            return
        again = inngest.Event(name=DECIDED, id=f"again-{ctx.event.id}", data={**ctx.event.data, "repeated": True})
        await ctx.step.send_event("wake-the-run-again", again)

    return [resend_wake_ups, repeat_wake_up, *retention.functions(client)]


async def find_what_was_left() -> dict[str, Any]:
    """What there is to do: decisions that no run has acted on, emails to send again, payments without an outcome.

    It also closes what was abandoned, and writes down what was lost. This is one step, because it runs every five
    minutes and most of the time finds nothing.
    """
    await ledger.close_abandoned()
    return {
        **await lost.find_lost(),
        "unapplied": await ledger.decided_but_not_applied(),
        "unfinished_payments": len(await payments.unfinished()),
    }


async def tell_people() -> None:
    """Post to the reviewers' chat what needs a person.

    Raises chat.UnavailableError, or RetryAfterError when the chat service named a time.
    """
    async with retry_chat():
        await lost.tell_people()


async def is_acted_on(refund_id: Any) -> bool:
    """Whether a decided refund was paid or closed, or its payment was begun; also if there is no such refund."""
    if type(refund_id) is not int:
        return True
    return not await db.fetch(
        "select from refunds where id = $1 and decision is not null and settled_at is null"
        " and payment_started_at is null",
        refund_id,
    )
