"""Concept 15: the human gate.

The failure: an agent believes a convincing email and refunds 4,000 dollars. Or every refund of three dollars waits for
a person, who soon clicks yes without reading. And a month later nobody knows who approved the 4,000.

The idea: up to a limit a rule decides, and above it a person. The run waits for days without a process. Silence is
never a yes: after four hours the manager is asked too, and after another day the refund expires. Every way out leaves
an audit row that says what became of the refund and who decided it.

Asking and waiting begin together (`ctx.group.parallel`), because an answer that comes before the wait exists is lost.
The expression that matches an answer to its question is a constant: text from an event inside it could let a stranger's
yes through. An event proves nobody's identity: in the app (`inngest_app.py`) the decision is a row in the ledger, and
the event only wakes the run.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

LIMIT_CENTS = 5_000
DECIDED = "concepts/human_gate.decided"
# The decision is about this refund, named by the id of the event that asked for it, and says who decided.
THIS_REFUND = "async.data.request_id == event.id && async.data.decided_by != null"


async def ask(ctx: inngest.Context, role: str, patience: timedelta) -> Any:
    """Ask a person and wait for the decision. Returns the event's data, or None if none came within `patience`."""
    question = f"{role}: refund {ctx.event.data['cents']} cents for {ctx.event.data['order_id']}? It is {ctx.event.id}"
    _, decision = await ctx.group.parallel(
        (
            lambda: ctx.step.run(f"ask-{role}", outside.tell_team, question),
            lambda: ctx.step.wait_for_event(f"await-{role}", event=DECIDED, if_exp=THIS_REFUND, timeout=patience),
        )
    )
    return decision.data if decision else None


async def settle(ctx: inngest.Context, outcome: str, decided_by: str) -> str:
    """Pay if the refund was approved, and write the audit row. Returns the outcome."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    if outcome == "approved":
        await ctx.step.run("pay", outside.pay, order_id, cents, ctx.event.id)
    await ctx.step.run("audit", outside.audit, order_id, outcome, decided_by)
    return outcome


@client.create_function(fn_id="gate-refund", trigger=inngest.TriggerEvent(event="concepts/human_gate.refund"))
async def gate_refund(ctx: inngest.Context) -> str:
    """The refund is approved by the rule or a person, or rejected by a person, or expires. Returns which it was."""
    if int(str(ctx.event.data["cents"])) <= LIMIT_CENTS:
        return await settle(ctx, "approved", "rule")
    decision = await ask(ctx, "reviewer", timedelta(hours=4))
    if decision is None:
        await ctx.step.run("audit-escalated", outside.audit, str(ctx.event.data["order_id"]), "escalated", "nobody")
        decision = await ask(ctx, "manager", timedelta(hours=24))
    if decision is None:
        return await settle(ctx, "expired", "nobody")
    # Only the value true approves. A plain `if` would take the text "false" for a yes.
    if decision.get("approved") is True:
        return await settle(ctx, "approved", str(decision["decided_by"]))
    return await settle(ctx, "rejected", str(decision["decided_by"]))


@client.create_function(
    fn_id="gate-ask-first-wrong", trigger=inngest.TriggerEvent(event="concepts/human_gate.refund-wrong")
)
async def ask_first_wrong(ctx: inngest.Context) -> str:
    """The failure: the run asks first and waits second, so a person who answers at once is not heard."""
    await ctx.step.run("ask", outside.tell_team, f"reviewer: refund {ctx.event.id}?")
    decision = await ctx.step.wait_for_event("wait", event=DECIDED, if_exp=THIS_REFUND, timeout=timedelta(hours=4))
    return "approved" if decision else "expired"
