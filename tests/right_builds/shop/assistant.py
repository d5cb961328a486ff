"""The agent, as a class of its own whose context is an object."""

import json
from dataclasses import dataclass
from typing import Any

from agents import Agent, RunConfig, RunContextWrapper, Runner, RunState, function_tool

from offline.model import RuleBasedProvider
from tests.right_builds.shop.models import Did, write


@dataclass
class Sender:
    customer: int


@function_tool(needs_approval=True)
async def pay_back(context: RunContextWrapper[Sender], order_id: str, amount_cents: int, reason: str) -> str:
    """Refund an order."""
    await write(Did.PAID, context.context.customer, f"{order_id}: {amount_cents}")
    return json.dumps({"status": "issued", "order_id": order_id, "amount_cents": amount_cents})


# The stand-in for a model calls its tool by this name.
pay_back.name = "issue_refund"


class Assistant:
    def __init__(self, customer: int) -> None:
        self.sender = Sender(customer)
        self.agent = Agent[Sender](name="assistant", instructions="Answer the email.", tools=[pay_back])
        self.settings = RunConfig(model="rule-based", model_provider=RuleBasedProvider(), tracing_disabled=True)

    async def read(self, email: str) -> dict[str, Any]:
        return await self._go(email)

    async def go_on(self, saved: str, yes: bool) -> dict[str, Any]:
        state: RunState[Sender] = await RunState.from_string(
            self.agent, saved, context_override=RunContextWrapper(self.sender)
        )
        for call in state.get_interruptions():
            if yes:
                state.approve(call)
            else:
                state.reject(call)
        return await self._go(state)

    async def _go(self, start: str | RunState[Sender]) -> dict[str, Any]:
        result = await Runner.run(self.agent, start, context=self.sender, run_config=self.settings)
        if result.interruptions:
            saved = result.to_state().to_string(context_serializer=lambda _: {})
            return {"answer": None, "saved": saved}
        return {"answer": str(result.final_output), "saved": None}
