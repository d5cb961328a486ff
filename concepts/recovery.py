"""Concept 14: recovery.

The failure: on Friday a release cannot read a price, and 300 orders fail over the weekend. On Monday a script charges
them again. It does not know which of them were already repeated by hand, and charges forty customers twice. Meanwhile
thousands of reminders to customers who have left are asleep, and wake up one after the other.

The idea: the engine has kept every run. A retry goes on inside its run and finds the results of finished steps. A rerun
(the course says replay) is another run: it has the same event, does every step again, and runs the code that is
deployed now. So rerun what failed that weekend once the fix is deployed, and with `--status COMPLETED` also what
succeeded, when yesterday's summaries are wanted in today's format. Cancel in bulk what is no longer wanted, whether it
is queued, asleep or waiting; a step that is running is finished, and nothing follows it. One command does both, and
only says what it would do until it is given `--yes`:

    python -m concepts.recovery rerun --function recover-order --since 2026-11-20T18:00 --until 2026-11-23T08:00
    python -m concepts.recovery cancel --function recover-reminder --last 7d --yes

What is known beforehand belongs to the function: which event cancels it, and how long it may take to start and to
finish. A run that takes longer is cancelled; it does not fail and is not retried.

A single run is repeated by its Rerun button, or by sending its event under a new id: under the old one it starts
nothing (concept 4). A rerun gets a new run id, so the key of a payment is made of the order and never of the run. A
failed batch is not rerun: the engine would give it only its first event (seen in the dev server of November 2026).
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client


async def in_cents(price: str) -> int:
    """Read a price. It cannot read the "12,50" that a shop in Paris sends: mend it, then rerun what has failed."""
    return round(float(price) * 100)


@client.create_function(fn_id="recover-order", trigger=inngest.TriggerEvent(event="concepts/recovery.order"), retries=0)
async def order(ctx: inngest.Context) -> int:
    """Pay an order. The payment's key is the order, so an order that is run ten times is paid once."""
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
    """Answer, sleep a day, wait two days for a reply, and remind. The run ends when the customer has left."""
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
    """Send an offer, unless the run has not started within ten minutes or has not finished within an hour."""
    customer_id = str(ctx.event.data["customer_id"])
    await ctx.step.run("write", outside.write_answer, customer_id, "an offer")
    await ctx.step.sleep("until-they-are-awake", timedelta(minutes=int(str(ctx.event.data["minutes"]))))
    await ctx.step.run("send", outside.send_mail, customer_id, "An offer, for an hour.")


if __name__ == "__main__":
    from concepts.recovery_command import main

    main()
