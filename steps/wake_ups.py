"""Events get lost; what stands in the ledger is acted on all the same, a few minutes later."""

from typing import Any

import inngest

from refunds import ledger, payments


def functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    """`resend-wake-ups`."""

    @client.create_function(fn_id="resend-wake-ups", trigger=inngest.TriggerCron(cron="*/5 * * * *"))
    async def resend_wake_ups(ctx: inngest.Context) -> int:
        """Wake the runs that did not hear of a decision, close what no run acts on, and finish payments cut short."""
        left = await ctx.step.run("find-what-was-left", find_what_was_left)
        wake_ups = [
            inngest.Event(
                name="refund/approval.decided",
                # The event id of a scheduled run is its tick: each tick sends a wake-up once.
                id=f"wake-up-{row['id']}-{ctx.event.id}",
                data={"request_id": row["request_id"], "refund_id": row["id"]},
            )
            for row in left["unapplied"]
        ]
        if wake_ups:
            await ctx.step.send_event("send-wake-ups", wake_ups)
        if left["unfinished_payments"]:
            # This comes last, because a provider that is down must not hold up the wake-ups.
            await ctx.step.run("finish-payments", payments.finish_payments)
        return len(wake_ups)

    return [resend_wake_ups]


async def find_what_was_left() -> dict[str, Any]:
    """The rows whose decision was not applied, and how many payments have no outcome; what is abandoned is closed.

    This is one step, because it runs every five minutes and most of the time finds nothing.
    """
    await ledger.close_abandoned()
    return {
        "unapplied": await ledger.decided_but_not_applied(),
        "unfinished_payments": len(await payments.unfinished()),
    }
