"""Concept 15: the human gate.

The failure: an agent believes a convincing email and refunds 4,000 dollars. Or every refund of three dollars waits for
a person, who soon clicks yes without reading. And a month later nobody knows who approved the 4,000.

The idea: below 100 dollars the agent's recommendation is enough, and from there on a person decides. The run waits for
a day without a process. Silence is never a yes: after 24 hours a senior reviewer is told, and nothing is paid. Every
way out leaves an audit row that says what became of the refund and who decided it: `auto`, `nobody`, or `human` with
the name that the answer gives as `decided_by`. (The course promises that; its code writes a row for a paid one only.)

Asking and waiting begin together (`ctx.group.parallel`), because an answer that comes before the wait exists is lost.
The expression that matches an answer to its request is a constant: text from an event inside it could let a stranger's
yes through. An event proves nobody's identity: in the app (`inngest_app.py`) the decision is a row in the ledger, and
the event only wakes the run. The answer's event has the prefix `concepts/`, because the worker listens to it as well.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client
from concepts.sleep_and_wait import APPROVAL_DECIDED, APPROVAL_FROM_CENTS, SAME_REQUEST


async def run_refund_investigation_agent(request_id: str) -> dict[str, Any]:
    """Let the agent look into the request. Returns a dict, because the result of a step has to be JSON."""
    answer = await outside.ask_model(f"Is the refund {request_id} warranted?")
    return {"recommends_refund": True, "finding": answer}


async def wait_for_human(ctx: inngest.Context, finding: str) -> Any:
    """Show a person the agent's finding and wait. Returns the event's data, or None after 24 hours."""
    question = f"Refund {ctx.event.data['amount_cents']} cents? {finding}"
    _, approval = await ctx.group.parallel(
        (
            lambda: ctx.step.run("notify-approver", outside.tell_team, question),
            lambda: ctx.step.wait_for_event(
                "wait-for-human-approval", event=APPROVAL_DECIDED, if_exp=SAME_REQUEST, timeout=timedelta(hours=24)
            ),
        )
    )
    return approval.data if approval else None


@client.create_function(
    fn_id="refund-with-hitl-gate",
    trigger=inngest.TriggerEvent(event="customer/refund.investigated"),
    concurrency=[inngest.Concurrency(limit=5)],
)
async def refund_with_gate(ctx: inngest.Context) -> dict[str, str]:
    """The agent proposes and a person decides. Returns `issued`, `rejected_by_human` or `escalated_timeout`."""
    request_id, amount_cents = str(ctx.event.data["request_id"]), int(str(ctx.event.data["amount_cents"]))
    analysis = await ctx.step.run("agent-investigates", run_refund_investigation_agent, request_id)
    approved_by = "auto"
    # The course asks a person only if the agent recommends the refund, and pays without one if it does not.
    if amount_cents >= APPROVAL_FROM_CENTS or not analysis["recommends_refund"]:
        approval = await wait_for_human(ctx, analysis["finding"])
        if approval is None:
            await ctx.step.run("escalate-timeout", outside.tell_team, f"senior reviewer: nobody decided {request_id}")
            await ctx.step.run("audit-timeout", outside.audit, request_id, "escalated_timeout", "nobody")
            return {"status": "escalated_timeout"}
        approved_by = f"human {approval.get('decided_by', '')}".strip()
        # Only the value true approves. A plain `if` would take the text "false" for a yes.
        if approval.get("approved") is not True:
            await ctx.step.run("notify-rejected", outside.send_mail, request_id, "We cannot refund this.")
            await ctx.step.run("audit-rejected-refund", outside.audit, request_id, "rejected_by_human", approved_by)
            return {"status": "rejected_by_human"}
    refund_id = await ctx.step.run("issue-refund", outside.pay, request_id, amount_cents, request_id)
    await ctx.step.run("audit-approved-refund", outside.audit, request_id, "issued", approved_by)
    return {"status": "issued", "refund_id": refund_id}


@client.create_function(fn_id="ask-first-wrong", trigger=inngest.TriggerEvent(event="concepts/human_gate.asked_first"))
async def ask_first_wrong(ctx: inngest.Context) -> str:
    """The failure: the run asks first and waits second, so a person who answers at once is not heard."""
    await ctx.step.run("notify-approver", outside.tell_team, f"Refund {ctx.event.data['request_id']}?")
    approval = await ctx.step.wait_for_event(
        "wait-for-human-approval", event=APPROVAL_DECIDED, if_exp=SAME_REQUEST, timeout=timedelta(hours=24)
    )
    return "issued" if approval else "escalated_timeout"
