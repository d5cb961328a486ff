"""Concept 15: the human gate.

The failure: an agent believes a convincing email and refunds 4,000 dollars. Or every refund of three dollars waits for
a person, who soon clicks yes without reading. And a month later nobody can say who let the 4,000 pass.

The idea: below a threshold a rule decides, above it a person, and the run waits for days without a process. Silence is
never a yes: after four hours the manager is asked as well, after another day the refund expires. Every way out leaves
a row that says what became of it and who decided so.

Asking and waiting begin together (`ctx.group.parallel`): an answer that comes before the wait exists is lost. The
expression that matches answer and question is a constant: text from an event in it could let a stranger's yes through.
An event proves nobody's identity: in the app (`inngest_app.py`) the yes is a row in the ledger, the event a wake-up.
"""

from datetime import timedelta
from functools import partial
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

LIMIT_CENTS = 5_000
DECIDED = "concepts/human_gate.decided"
# Of this refund (the request is named by the event that asked for it), and by somebody who gives a name.
THIS_REFUND = "async.data.request_id == event.id && async.data.decided_by != null"


async def ask(ctx: inngest.Context, role: str, patience: timedelta) -> Any:
    """Ask, and wait for the answer from the same moment on. Returns the decision, or None after `patience`."""
    question = f"{role}: refund {ctx.event.data['cents']} cents for {ctx.event.data['order_id']}? It is {ctx.event.id}"
    tell = partial(ctx.step.run, f"ask-{role}", outside.tell_team, question)
    wait = partial(ctx.step.wait_for_event, f"await-{role}", event=DECIDED, if_exp=THIS_REFUND, timeout=patience)
    steps: tuple[partial[Any], ...] = (tell, wait)
    _, decision = await ctx.group.parallel(steps)
    return decision.data if decision else None


@client.create_function(fn_id="gate-refund", trigger=inngest.TriggerEvent(event="concepts/human_gate.refund"))
async def gate_refund(ctx: inngest.Context) -> str:
    """Approved by the rule or a person, rejected by a person, or expired; paid in the first case only."""
    order_id, cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["cents"]))
    decision: Any = {"approved": True, "decided_by": "rule"} if cents <= LIMIT_CENTS else None
    if not decision:
        decision = await ask(ctx, "reviewer", timedelta(hours=4))
    if not decision:
        await ctx.step.run("audit-escalated", outside.audit, order_id, "escalated", "nobody")
        decision = await ask(ctx, "manager", timedelta(hours=24))
    if not decision:
        outcome, decided_by = "expired", "nobody"
    else:
        # `is True`: the text "false" is true to Python.
        outcome = "approved" if decision.get("approved") is True else "rejected"
        decided_by = str(decision["decided_by"])
    if outcome == "approved":
        await ctx.step.run("pay", outside.pay, order_id, cents, ctx.event.id)
    await ctx.step.run("audit", outside.audit, order_id, outcome, decided_by)
    return outcome


@client.create_function(
    fn_id="gate-ask-first-wrong", trigger=inngest.TriggerEvent(event="concepts/human_gate.refund-wrong")
)
async def ask_first_wrong(ctx: inngest.Context) -> str:
    """Ask first and wait second: whoever answers at once is not heard."""
    await ctx.step.run("ask", outside.tell_team, f"reviewer: refund {ctx.event.id}?")
    decision = await ctx.step.wait_for_event("wait", event=DECIDED, if_exp=THIS_REFUND, timeout=timedelta(hours=4))
    return "approved" if decision else "expired"
