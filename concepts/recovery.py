"""Concept 14: recovery.

The failure: on Friday a release cannot read a price, 300 orders fail over the weekend. Somebody writes a script that
charges them on Monday, forgets which were tried again by hand, and charges forty customers twice. Meanwhile thousands
of reminders to people who have left are asleep, and wake up one after the other.

The idea: the engine has kept every run. Once the fixed code is deployed, rerun the failed runs of that window: each
has its event, and runs what is registered now. What is no longer wanted is cancelled in bulk, whether it is queued,
asleep or waiting; a step that runs is finished, and nothing follows it. Both is one command, which only tells what it
would do until it is given `--yes`:

    python -m concepts.recovery rerun --function recover-order --since 2026-11-20T18:00 --until 2026-11-23T08:00
    python -m concepts.recovery cancel --function recover-reminder --last 7d --yes

What can be known beforehand is declared at the function: an event that cancels it, and how long it may take to start
and to finish. A timeout cancels, too: it does not fail the run and is not retried.

A rerun gets a new run id, so what must not be done twice is keyed on the order, never on the run. A failed batch is not
rerun: the engine would give it the first of its events only (seen in the dev server of November 2026).
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client


async def in_cents(price: str) -> int:
    """Read a price. Mend it for what a shop in Paris sends, "12,50", and rerun what has failed."""
    return round(float(price) * 100)


@client.create_function(fn_id="recover-order", trigger=inngest.TriggerEvent(event="concepts/recovery.order"), retries=0)
async def order(ctx: inngest.Context) -> int:
    """Fails for a price it cannot read. The payment's key is the order: tried ten times, it is paid once."""
    order_id = str(ctx.event.data["order_id"])
    cents = await ctx.step.run("read-price", in_cents, str(ctx.event.data["price"]))
    await ctx.step.run("pay", outside.pay, order_id, cents, order_id)
    return cents


@client.create_function(
    fn_id="recover-reminder",
    trigger=inngest.TriggerEvent(event="concepts/recovery.reminder"),
    concurrency=[inngest.Concurrency(limit=1, key="event.data.customer_id")],
    cancel=[
        inngest.Cancel(
            event="concepts/recovery.customer-left", if_exp="async.data.customer_id == event.data.customer_id"
        )
    ],
)
async def reminder(ctx: inngest.Context) -> None:
    """An answer, a day's sleep, two days' wait for a reply, a reminder. Cancelled when the customer has left."""
    customer_id = str(ctx.event.data["customer_id"])
    await ctx.step.run("write", outside.write_answer, customer_id, "we have a question")
    await ctx.step.sleep("a-day", timedelta(days=1))
    replied = await ctx.step.wait_for_event(
        "reply",
        event="concepts/recovery.replied",
        if_exp="async.data.customer_id == event.data.customer_id",
        timeout=timedelta(days=2),
    )
    if not replied:
        await ctx.step.run("remind", outside.send_mail, customer_id, "Did you see our question?")


@client.create_function(
    fn_id="recover-offer",
    trigger=inngest.TriggerEvent(event="concepts/recovery.offer"),
    concurrency=[inngest.Concurrency(limit=1)],
    timeouts=inngest.Timeouts(start=timedelta(minutes=10), finish=timedelta(hours=1)),
)
async def offer(ctx: inngest.Context) -> None:
    """An offer of the hour: not begun within ten minutes, or not through within the hour, it is not sent at all."""
    customer_id = str(ctx.event.data["customer_id"])
    await ctx.step.run("write", outside.write_answer, customer_id, "an offer")
    await ctx.step.sleep("until-they-are-awake", timedelta(minutes=int(str(ctx.event.data["minutes"]))))
    await ctx.step.run("send", outside.send_mail, customer_id, "An offer, for an hour.")


if __name__ == "__main__":
    from concepts.recovery_command import main

    main()
