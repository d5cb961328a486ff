"""A learner's own build. It is right and plain, and has names of its own wherever the course leaves them open.

Most files beside this one are a build with one fault: one of the parts of `RIGHT` is replaced by a wrong one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import fastapi
import inngest
import inngest.fast_api

import db
from tests.wrong_builds.worker import Customer, go_on, think, write


async def log_in(who: Customer) -> None:
    """Record that the email has come. An email of an unknown customer is refused for good."""
    if await db.get_customer(who["customer_id"]) is None:
        raise inngest.NonRetriableError("no such customer")
    await write("message_received", who, key=f"{who['run_id']}:in")


async def log_out(who: Customer, reply: str) -> None:
    """Record that the reply was sent."""
    await write("message_sent", who, key=f"{who['run_id']}:out", reply=reply)


async def log_no(who: Customer, why: str) -> None:
    """Record that a refund was not made."""
    await write("refund_blocked", who, key=f"{who['run_id']}:no", why=why)


class Resume(Protocol):
    """How a build goes on with a run that was paused."""

    async def __call__(self, saved: dict[str, Any], who: Customer, approved: bool, email: str, /) -> dict[str, Any]:
        """The result is as that of `think`."""


async def answered_in_a_step(ctx: inngest.Context, email: str, who: Customer) -> dict[str, Any]:
    """The model is paid once, because the engine remembers what the step returned."""
    return await ctx.step.run("think", think, email, who)


async def received_in_a_step(ctx: inngest.Context, who: Customer) -> None:
    """The row is written in a step."""
    await ctx.step.run("log-in", log_in, who)


def yes_or_no(decision: inngest.Event | None) -> bool:
    """Only an explicit yes approves; after the timeout there is no decision, and nothing is approved."""
    return decision is not None and decision.data.get("approved") is True


# A constant, whatever the event holds. Without a request_id it is the course's own match.
THIS_RUN = (
    "async.data.request_id == event.id"
    " || (async.data.request_id == null && async.data.customer_id == event.data.customer_id)"
)


async def waits(ctx: inngest.Context, number: int, match: str, window: timedelta, _: Customer) -> inngest.Event | None:
    """Whoever looks into the dashboard sees that the run waits; nobody is told otherwise."""
    return await ctx.step.wait_for_event(
        f"ask-boss-{number}", event="refund/approval.decided", if_exp=match, timeout=window
    )


def by_customer_and_tick(customer_id: str, ctx: inngest.Context) -> str:
    """The same tick of the cron, delivered twice, makes the same event id."""
    return f"check-{customer_id}-{ctx.event.id}"


async def told_in_a_step(ctx: inngest.Context, _: inngest.Inngest, checks: list[inngest.Event]) -> None:
    """The events are sent once, however often the function is called."""
    await ctx.step.send_event("tell", checks)


@dataclass(frozen=True)
class Build:
    """The parts of a build. The defaults are right."""

    email_event: str = "customer/email.received"
    received: Callable[[inngest.Context, Customer], Awaitable[None]] = received_in_a_step
    answered: Callable[[inngest.Context, str, Customer], Awaitable[dict[str, Any]]] = answered_in_a_step
    resume: Resume = go_on
    decision: Callable[[inngest.Event | None], bool] = yes_or_no
    match: Callable[[str], str] = lambda customer_id: THIS_RUN
    window: timedelta = timedelta(hours=4)
    decided: Callable[[inngest.Context, int, str, timedelta, Customer], Awaitable[inngest.Event | None]] = waits
    ledger: bool = True
    dead_letters: bool = True
    replies_to_silence: bool = True
    tiers: tuple[str, ...] = ("pro", "enterprise")
    event_id: Callable[[str, inngest.Context], str] = by_customer_and_tick
    told: Callable[[inngest.Context, inngest.Inngest, list[inngest.Event]], Awaitable[Any]] = told_in_a_step
    flow: dict[str, Any] = field(
        default_factory=lambda: {
            "concurrency": [inngest.Concurrency(limit=10), inngest.Concurrency(limit=2, key="event.data.customer_id")],
            "throttle": inngest.Throttle(limit=600, period=timedelta(minutes=1), burst=20),
        }
    )

    def but(self, **parts: Any) -> "Build":
        """The same build with other parts."""
        return replace(self, **parts)

    def app(self) -> fastapi.FastAPI:
        """The app that serves the build's functions."""
        client = inngest.Inngest(app_id="my-worker", is_production=False)
        functions: list[inngest.Function[Any]] = []

        def function(**options: Any) -> Callable[[Any], None]:
            return lambda handler: functions.append(client.create_function(**options)(handler))

        @function(fn_id="answer-mail", trigger=inngest.TriggerEvent(event=self.email_event), **self.flow)
        async def answer_mail(ctx: inngest.Context) -> str:
            who = {"customer_id": str(ctx.event.data["customer_id"]), "run_id": ctx.run_id}
            if not self.ledger:
                who["payer"] = ctx.run_id
            email = str(ctx.event.data["email_text"])
            await self.received(ctx, who)
            outcome = await self.answered(ctx, email, who)
            number = 0
            while outcome["state"] is not None:
                number += 1
                decision = await self.decided(ctx, number, self.match(who["customer_id"]), self.window, who)
                approved = self.decision(decision)
                if not approved:
                    await ctx.step.run(f"log-no-{number}", log_no, who, "rejected" if decision else "nobody answered")
                if decision is None and not self.replies_to_silence:
                    return ""
                resume = partial(self.resume, outcome["state"], who, approved, email)
                outcome = await ctx.step.run(f"go-on-{number}", resume)
            await ctx.step.run("log-out", log_out, who, outcome["reply"])
            return str(outcome["reply"])

        if self.dead_letters:

            @function(fn_id="dead-letters", trigger=inngest.TriggerEvent(event="inngest/function.failed"))
            async def dead_letters(ctx: inngest.Context) -> None:
                failed: Any = ctx.event.data
                if failed["function_id"] != "my-worker-answer-mail":
                    return
                who = {"run_id": failed["run_id"], "customer_id": failed["event"]["data"].get("customer_id")}
                await ctx.step.run("keep", partial(write, "run_failed", who, key=f"{who['run_id']}:failed"))

        @function(fn_id="morning", trigger=inngest.TriggerCron(cron="0 9 * * *"))
        async def morning(ctx: inngest.Context) -> None:
            customers = await ctx.step.run("who", who_gets_one, self.tiers)
            name = "customer/health_check.requested"
            checks = [
                inngest.Event(name=name, id=self.event_id(each, ctx), data={"customer_id": each}) for each in customers
            ]
            await self.told(ctx, client, checks)

        @function(fn_id="check-up", trigger=inngest.TriggerEvent(event="customer/health_check.requested"))
        async def check_up(ctx: inngest.Context) -> None:
            who = {"customer_id": str(ctx.event.data["customer_id"]), "run_id": ctx.run_id}
            await ctx.step.run("note", partial(write, "health_check", who, key=f"{ctx.run_id}:check"))

        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, client, functions)
        return app


async def who_gets_one(tiers: tuple[str, ...]) -> list[str]:
    """The customers of these tiers."""
    rows = await db.fetch("select id from customers where tier = any($1) order by id", list(tiers))
    return [row["id"] for row in rows]


RIGHT = Build()
