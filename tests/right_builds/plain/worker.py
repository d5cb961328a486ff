"""The worker of the course's own build: an agent with two tools, and a command line for one email."""

import asyncio
import sys

from agents import Agent, RunConfig, RunContextWrapper, Runner, function_tool

from offline.model import RuleBasedProvider
from tests.right_builds.plain.database import close, load_customers, record, seed

Who = dict[str, str]


@function_tool
async def lookup_customer(context: RunContextWrapper[Who]) -> str:
    """Look up the customer who wrote."""
    mine = [row for row in await load_customers() if row["id"] == context.context["customer_id"]]
    return str(mine)


@function_tool(needs_approval=True)
async def issue_refund(context: RunContextWrapper[Who], order_id: str, amount_cents: int, reason: str) -> str:
    """Refund an order."""
    await record("refund_issued", customer_id=context.context["customer_id"], detail=f"{order_id} {amount_cents}")
    return f'{{"status": "issued", "order_id": "{order_id}", "amount_cents": {amount_cents}}}'


def build_agent() -> Agent[Who]:
    return Agent(name="support", instructions="Answer the email.", tools=[lookup_customer, issue_refund])


def run_config() -> RunConfig:
    return RunConfig(model="rule-based", model_provider=RuleBasedProvider(), tracing_disabled=True)


async def main() -> None:
    """`python -m tests.right_builds.plain.worker "text"` answers one email."""
    await seed()
    who, email = {"customer_id": "ann"}, sys.argv[-1]
    await record("email_received", customer_id="ann", detail=email[:80])
    result = await Runner.run(build_agent(), email, context=who, run_config=run_config())
    if result.interruptions:
        print("Pending approval:", [call.arguments for call in result.interruptions])
    else:
        print(result.final_output)
        await record("reply_sent", customer_id="ann", detail=str(result.final_output)[:80])
    await close()


if __name__ == "__main__":
    asyncio.run(main())
