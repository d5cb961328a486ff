"""The worker of a learner's own build: right and plain, and without a word of what wakes it."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from agents import Agent, ModelProvider, RunConfig, RunContextWrapper, Runner, RunState, function_tool

import db
from offline.model import RuleBasedProvider

Customer = dict[str, str]


# These tools turn an exception into text for the model, as they do by default.
@function_tool
async def lookup_customer(context: RunContextWrapper[Customer]) -> str:
    """Look up the customer."""
    return json.dumps(await db.get_customer(context.context["customer_id"]))


@function_tool(needs_approval=True)
async def issue_refund(context: RunContextWrapper[Customer], order_id: str, amount_cents: int, reason: str) -> str:
    """Refund an order."""
    who = context.context
    # One payment per order: the key does not name the run. A build without a ledger has another `payer`.
    await write(
        "refund_issued", who, key=f"refund:{who.get('payer', who['customer_id'])}:{order_id}", order_id=order_id
    )
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


async def main(build_agent: Callable[[], Agent[Customer]] = build_agent) -> None:
    """Answer the email that the command line names, without any engine."""
    who = {"customer_id": "cust_001", "run_id": f"by-hand-{uuid4()}"}
    await write("message_received", who, key=f"{who['run_id']}:in")
    result = await Runner.run(build_agent(), sys.argv[-1], context=who, run_config=run_config())
    print("It needs somebody's approval." if result.interruptions else result.final_output)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main())
