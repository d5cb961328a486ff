"""Going on where the agent left off, with what was decided. Nothing here knows the engine.

Another version of the worker or of the Agents SDK may have saved the state. One that cannot be read is not guessed at:
no money moves, and a person takes over.
"""

import json
from typing import Any

from agents import AgentsException, RunHooks, RunState, UserError
from agents.sandbox import SandboxAgent

import worker
from refunds import rules

# What the SDK raises when the state that it was given makes no sense (seen in openai-agents 0.24.0).
NONSENSE = (AgentsException, AttributeError, LookupError, TypeError, ValueError)


class UnreadableStateError(RuntimeError):
    """The saved state cannot be gone on from, neither now nor later."""


async def resume(state: dict[str, Any], ticket: worker.Ticket, decisions: dict[str, dict[str, Any]]) -> worker.Outcome:
    """Run on from a saved state. `decisions` maps a call id to its status and a note.

    Raises UnreadableStateError for a state that this version of the worker or of the SDK cannot go on from, and what
    `worker.run` raises.
    """
    agent, model = worker.build_agent(), ModelWasAsked()
    try:
        restored = await RunState.from_json(agent, state, context_override=ticket, strict_context=True)
        apply_decisions(restored, agent, decisions)
    except Exception as error:
        raise UnreadableStateError(f"{type(error).__name__}: {error}") from error
    try:
        outcome = await worker.run(agent, restored, ticket, model)
    except NONSENSE as error:
        if model.was_asked or raised_by_a_tool(error):
            raise
        raise UnreadableStateError(f"{type(error).__name__}: {error}") from error
    if any(refund["call_id"] in decisions for refund in outcome["asked"]):
        # Asked again and again, the reviewers would never be done with it.
        raise UnreadableStateError("it asks again for what was decided")
    return outcome


def apply_decisions(
    restored: RunState[Any], agent: SandboxAgent[worker.Ticket], decisions: dict[str, dict[str, Any]]
) -> None:
    """Answer every call that the run waits for. Raises LookupError if it waits for nothing, or for an unknown tool."""
    calls = restored.get_interruptions()
    unknown = {str(call.name) for call in calls} - {tool.name for tool in agent.tools}
    if unknown or not calls:
        raise LookupError(f"it waits for {', '.join(unknown) or 'nothing'}")
    for call in calls:
        decision = decisions.get(call.call_id or "")
        if decision is None:
            # It was refused before any person was asked.
            _, problem = rules.requested_refund(call.call_id, call.arguments)
            decision = {"status": "blocked", "why": problem}
        if decision["status"] == "approved":
            # Now the tool runs, and looks once more whether its row says the same.
            restored.approve(call)
        elif decision["status"] == "rejected":
            # The reviewer's reason reaches the customer through the agent's reply.
            restored.reject(call, rejection_message=json.dumps(decision))
        else:
            # Nobody decided in time, or nobody was asked: "why" says which.
            restored.reject(call, rejection_message=json.dumps(decision))


class ModelWasAsked(RunHooks[Any]):
    """Tells a failure of the saved state, which comes before the model is asked, from one that may pass."""

    was_asked = False

    async def on_llm_start(self, *_: Any) -> None:
        """The SDK calls this before each turn of the model."""
        self.was_asked = True


def raised_by_a_tool(error: Exception) -> bool:
    """Whether the SDK has wrapped what one of our tools raised: a database that is away, most likely."""
    return isinstance(error, UserError) and error.__cause__ is not None
