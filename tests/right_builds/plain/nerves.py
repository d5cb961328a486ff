"""The course's own build, as plain as its prompts make it: right by its done-whens, and without anything beyond them.

Its rows have no keys, its match is an f-string, its time-out ends the run in a row, and nothing keeps a second run from
paying again. The tables are as an agent makes them from the course's store prompt.
"""

from datetime import timedelta
from functools import partial
from typing import Any

import fastapi
import inngest
import inngest.fast_api
from agents import Runner, RunState

from tests.right_builds.plain.database import load_customers, record
from tests.right_builds.plain.worker import Who, build_agent, run_config


async def _run_agent(email: str, customer_id: str) -> dict[str, Any]:
    result = await Runner.run(build_agent(), email, context={"customer_id": customer_id}, run_config=run_config())
    if result.interruptions:
        return {"status": "needs_approval", "state": result.to_state().to_string()}
    return {"status": "done", "reply": str(result.final_output)}


async def _resume_agent(saved: str, customer_id: str, approved: bool) -> dict[str, Any]:
    agent, who = build_agent(), {"customer_id": customer_id}
    state: RunState[Who] = await RunState.from_string(agent, saved, context_override=who)
    for call in state.get_interruptions():
        if approved:
            state.approve(call)
        else:
            state.reject(call)
    result = await Runner.run(agent, state, run_config=run_config())
    return {"status": "resumed", "reply": str(result.final_output)}


def app() -> fastapi.FastAPI:
    client = inngest.Inngest(app_id="customer-support", is_production=False)

    @client.create_function(
        fn_id="handle-customer-email",
        trigger=inngest.TriggerEvent(event="customer/email.received"),
        concurrency=[inngest.Concurrency(limit=10), inngest.Concurrency(limit=2, key="event.data.customer_id")],
        throttle=inngest.Throttle(limit=30, period=timedelta(minutes=1)),
    )
    async def handle_customer_email(ctx: inngest.Context) -> dict[str, bool]:
        email, customer_id = str(ctx.event.data["body"]), str(ctx.event.data["customer_id"])

        async def audit(step: str, action: str, detail: str = "") -> None:
            await ctx.step.run(step, partial(record, action, customer_id=customer_id, detail=detail[:80]))

        await audit("audit-received", "email_received", email)
        outcome = await ctx.step.run("run-agent", _run_agent, email, customer_id)
        if outcome["status"] == "needs_approval":
            decision = await ctx.step.wait_for_event(
                "await-refund-approval",
                event="refund/approval.decided",
                timeout=timedelta(hours=4),
                if_exp=f"async.data.customer_id == '{customer_id}'",
            )
            if decision is None:
                await audit("audit-timeout", "refund_blocked", "nobody decided")
                return {"replied": False}
            approved = bool(decision.data["approved"])
            if not approved:
                await audit("audit-blocked", "refund_blocked", "rejected")
            outcome = await ctx.step.run("resume-agent", _resume_agent, outcome["state"], customer_id, approved)
        await audit("audit-sent", "reply_sent", outcome["reply"])
        return {"replied": True}

    @client.create_function(fn_id="daily-health-check", trigger=inngest.TriggerCron(cron="0 9 * * *"))
    async def daily_health_check(ctx: inngest.Context) -> None:
        customers = await ctx.step.run("load-customers", load_customers)
        day = ctx.event.id
        checks = [
            inngest.Event(
                name="customer/health_check.requested", id=f"health-{row['id']}-{day}", data={"customer_id": row["id"]}
            )
            for row in customers
            if row["tier"] != "Standard"
        ]
        await ctx.step.send_event("fan-out-health-checks", checks)

    @client.create_function(
        fn_id="customer-health-check", trigger=inngest.TriggerEvent(event="customer/health_check.requested")
    )
    async def customer_health_check(ctx: inngest.Context) -> None:
        customer_id = str(ctx.event.data["customer_id"])
        await ctx.step.run("record", partial(record, "health_checked", customer_id=customer_id))

    served = fastapi.FastAPI()
    inngest.fast_api.serve(served, client, [handle_customer_email, daily_health_check, customer_health_check])
    return served
