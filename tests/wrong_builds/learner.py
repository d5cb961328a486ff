"""A learner's own build. It is right and plain, and has names of its own wherever the course leaves them open.

Most files beside this one are a build with one fault: one of the parts of `RIGHT` is replaced by a wrong one.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import fastapi
import inngest
import inngest.fast_api
from agents import Agent, ModelProvider, RunConfig, RunContextWrapper, Runner, RunState, function_tool

import db
from offline.model import RuleBasedProvider

Customer = dict[str, str]


# The worker. Its tools turn an exception into text for the model, as they do by default.
@function_tool
async def lookup_customer(context: RunContextWrapper[Customer]) -> str:
    """Look up the customer."""
    return json.dumps(await db.get_customer(context.context["customer_id"]))


@function_tool(needs_approval=True)
async def issue_refund(context: RunContextWrapper[Customer], order_id: str, amount_cents: int, reason: str) -> str:
    """Refund an order."""
    who = context.context
    # One payment per order: the key does not name the run.
    await write("refund_issued", who, key=f"refund:{who['customer_id']}:{order_id}", order_id=order_id)
    return json.dumps({"status": "issued", "order_id": order_id, "amount_cents": amount_cents})


def build_agent() -> Agent[Customer]:
    """A new agent."""
    return Agent(name="support", instructions="Answer the email.", tools=[lookup_customer, issue_refund])


def run_config() -> RunConfig:
    """It runs on the stand-in for the model."""
    provider: ModelProvider = RuleBasedProvider()
    return RunConfig(model="rule-based", model_provider=provider, tracing_disabled=True)


async def write(action: str, who: Customer, *, key: str, **detail: Any) -> None:
    """Write one audit row; a row with the same key is not written again."""
    row = (action, key, who["run_id"], who["customer_id"], json.dumps(detail))
    await db.fetch(
        "insert into audit_log (action, key, run_id, customer_id, detail) values ($1, $2, $3, $4, $5)"
        " on conflict (key) do nothing",
        *row,
    )


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


async def think(email: str, who: Customer) -> dict[str, Any]:
    """Answer the email. The result is a reply, or the saved state of a run that waits for an approval."""
    result = await Runner.run(build_agent(), email, context=who, run_config=run_config())
    if result.interruptions:
        return {"reply": None, "state": result.to_state().to_json()}
    return {"reply": str(result.final_output), "state": None}


async def go_on(saved: dict[str, Any], who: Customer, approved: bool, _: str) -> dict[str, Any]:
    """Go on from the saved state."""
    state: RunState[Customer] = await RunState.from_json(build_agent(), saved, context_override=who)
    return await decided(state, approved)


async def decided(state: RunState[Customer], approved: bool) -> dict[str, Any]:
    """Apply the decision to all refunds that the run waits for, and let it go on."""
    for call in state.get_interruptions():
        if approved:
            state.approve(call)
        else:
            state.reject(call)
    result = await Runner.run(build_agent(), state, run_config=run_config())
    if result.interruptions:
        return {"reply": None, "state": result.to_state().to_json()}
    return {"reply": str(result.final_output), "state": None}


# The nervous system.
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


def by_customer_and_tick(customer_id: str, tick: str) -> str:
    """The same tick of the cron, delivered twice, makes the same event id."""
    return f"check-{customer_id}-{tick}"


@dataclass(frozen=True)
class Build:
    """The parts of a build. The defaults are right."""

    email_event: str = "customer/email.received"
    received: Callable[[inngest.Context, Customer], Awaitable[None]] = received_in_a_step
    answered: Callable[[inngest.Context, str, Customer], Awaitable[dict[str, Any]]] = answered_in_a_step
    resume: Resume = go_on
    decision: Callable[[inngest.Event | None], bool] = yes_or_no
    expression: str = "async.data.customer_id == event.data.customer_id"
    dead_letters: bool = True
    replies_to_silence: bool = True
    tiers: tuple[str, ...] = ("pro", "enterprise")
    event_id: Callable[[str, str], str] = by_customer_and_tick
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
            email = str(ctx.event.data["email_text"])
            await self.received(ctx, who)
            outcome = await self.answered(ctx, email, who)
            number = 0
            while outcome["state"] is not None:
                number += 1
                decision = await ctx.step.wait_for_event(
                    f"ask-boss-{number}",
                    event="refund/approval.decided",
                    if_exp=self.expression,
                    timeout=timedelta(hours=4),
                )
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
                who = {"run_id": failed["run_id"], "customer_id": failed["event"]["data"].get("customer_id")}
                await ctx.step.run("keep", partial(write, "run_failed", who, key=f"{who['run_id']}:failed"))

        @function(fn_id="morning", trigger=inngest.TriggerCron(cron="0 9 * * *"))
        async def morning(ctx: inngest.Context) -> None:
            customers = await ctx.step.run("who", who_gets_one, self.tiers)
            name = "customer/health_check.requested"
            checks = [
                inngest.Event(name=name, id=self.event_id(each, ctx.event.id), data={"customer_id": each})
                for each in customers
            ]
            await ctx.step.send_event("tell", checks)

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
