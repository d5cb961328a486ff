"""Going on from the saved state of a run, which another version of the worker or of the Agents SDK may have written.

A state that cannot be read is no reason to guess: UnreadableStateError, and a person takes over.
"""

import json
from typing import Any

from agents import Agent, AgentsException, RunHooks, RunState

from refunds import rules

# What the SDK raises when the state it was given makes no sense (seen in openai-agents 0.24.0).
WRONG = (AgentsException, AttributeError, LookupError, TypeError, ValueError)


class UnreadableStateError(RuntimeError):
    """The saved state cannot be gone on from, now or later."""


class ModelWasAsked(RunHooks[Any]):
    """Tells the failures of a saved state, which come before the model is asked, from those that may pass."""

    was_asked = False

    async def on_llm_start(self, *_: Any) -> None:
        """Called by the SDK before each turn of the model."""
        self.was_asked = True


async def restore(
    agent: Agent[Any], state: dict[str, Any], context: Any, decisions: dict[str, dict[str, Any]]
) -> RunState[Any]:
    """The run as it was saved, with `context`, and the calls it waits for approved or rejected.

    `decisions` maps a call id to its status ("approved" or another) and a note; a call without one is rejected.
    Raises UnreadableStateError, also when it waits for nothing or for a tool that the agent no longer has.
    """
    try:
        restored: RunState[Any] = await RunState.from_json(agent, state, context_override=context, strict_context=True)
        calls = restored.get_interruptions()
        gone = {call.name for call in calls} - {tool.name for tool in agent.tools}
        if gone or not calls:
            raise LookupError(f"it waits for {', '.join(map(str, gone)) or 'nothing'}")
        for call in calls:
            _, problem = rules.requested_refund(call.call_id, call.arguments)
            decision = decisions.get(call.call_id or "", {"status": "rejected", "why": problem})
            if decision["status"] == "approved":
                restored.approve(call)
            else:
                restored.reject(call, rejection_message=json.dumps(decision))
    except Exception as error:
        raise UnreadableStateError(f"{type(error).__name__}: {error}") from error
    return restored
