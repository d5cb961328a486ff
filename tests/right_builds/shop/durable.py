"""What wakes the assistant. It carries both lines of the gates' hook."""

import os
from datetime import date, timedelta
from functools import partial
from typing import Any

import fastapi
import inngest
import inngest.fast_api

from tests.right_builds.shop.assistant import Assistant
from tests.right_builds.shop.models import Did, customers, write


async def ask_on_call(customer: int) -> str:
    return f"customer {customer} waits"


async def checks_of_today() -> list[dict[str, Any]]:
    return [{"customer_id": customer, "day": f"{date.today()}"} for customer in await customers("PRO", "ENTERPRISE")]


def app() -> fastapi.FastAPI:
    client = inngest.Inngest(app_id="shop", is_production=False)

    @client.create_function(
        fn_id="on-mail",
        trigger=inngest.TriggerEvent(event="customer/email.received"),
        concurrency=[inngest.Concurrency(limit=5), inngest.Concurrency(limit=1, key="event.data.customer_id")],
        throttle=inngest.Throttle(limit=int(os.environ.get("PER_MINUTE") or 30), period=timedelta(minutes=1)),
    )
    async def on_mail(ctx: inngest.Context) -> str:
        email, customer = str(ctx.event.data["text"]), int(str(ctx.event.data["customer_id"]))
        await ctx.step.run("note-mail", write, Did.GOT_MAIL, customer, email)
        outcome = await ctx.step.run("assist", Assistant(customer).read, email)
        if os.environ.get("DIE_AFTER") == "assist":
            await ctx.step.run("die", lambda: ctx.attempt == 0 and os._exit(1))  # type: ignore
        if outcome["saved"]:
            asks: Any = partial(ctx.step.run, "ask-on-call", ask_on_call, customer)
            waits: Any = partial(
                ctx.step.wait_for_event,
                "hear-on-call",
                event="refund/approval.decided",
                if_exp="async.data.customer_id == event.data.customer_id",
                timeout=timedelta(seconds=float(os.environ.get("APPROVAL_SECONDS") or 4 * 3600)),
            )
            _, heard = await ctx.group.parallel((asks, waits))
            yes = heard is not None and heard.data["approved"] is True
            if not yes:
                await ctx.step.run("note-no", write, Did.NOT_PAID, customer, "too late" if heard is None else "no")
            outcome = await ctx.step.run("finish", Assistant(customer).go_on, outcome["saved"], yes)
        await ctx.step.run("note-answer", write, Did.ANSWERED, customer, outcome["answer"])
        return str(outcome["answer"])

    @client.create_function(fn_id="every-morning", trigger=inngest.TriggerCron(cron="TZ=Europe/Paris 30 8 * * *"))
    async def every_morning(ctx: inngest.Context) -> None:
        name = "customer/health_check.requested"
        today = await ctx.step.run("whom", checks_of_today)
        # Once a day, however often the tick comes.
        ids = [f"check-{check['customer_id']}-{check['day']}" for check in today]
        events = [inngest.Event(name=name, id=each, data=check) for each, check in zip(ids, today, strict=True)]
        await ctx.step.send_event("tell-all", events)

    @client.create_function(fn_id="check-one", trigger=inngest.TriggerEvent(event="customer/health_check.requested"))
    async def check_one(ctx: inngest.Context) -> None:
        await ctx.step.run("note-check", write, Did.CHECKED, int(str(ctx.event.data["customer_id"])))

    served = fastapi.FastAPI()
    inngest.fast_api.serve(served, client, [on_mail, every_morning, check_one])
    return served
