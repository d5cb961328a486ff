"""Concept 6: step.run.

The failure: the process dies after the fourth of five things. Starting it again loads the customer again, pays the
model again and, if the draft was saved just before, leaves the reviewer with two drafts.

The idea: each thing is a step. After every step the engine calls the function again from its beginning and gives it the
results so far. A finished step returns its remembered result without running its body again, in this process or in
another one. Only the step that was running when the process died runs again, whole, so a step must be safe to repeat:
give one that changes something a key of its own (concept 4).

A step takes its arguments by position; `functools.partial` or a lambda brings arguments by name (step.run has no others
in inngest 0.5.19). It returns JSON, so the agent's result is a dict and not an object with attributes.
"""

from functools import partial
from typing import Any

import inngest

from concepts import outside
from concepts.events import EMAIL_RECEIVED
from concepts.shelf import client


async def run_agent(*, customer: dict[str, str], thread: str, email_body: str) -> dict[str, Any]:
    """Let the agent draft a reply. This is the step that costs money."""
    return {"draft": await outside.ask_model(f"{customer['tier']} customer, {thread}, writes: {email_body}")}


async def save_draft(customer_id: str, email_id: str, draft: str) -> None:
    """Save the draft under the email's id: saved twice, it is one draft."""
    await outside.store({f"draft-{email_id}": {"customer_id": customer_id, "text": draft}})


@client.create_function(fn_id="customer-support-conversation", trigger=inngest.TriggerEvent(event=EMAIL_RECEIVED))
async def handle_email(ctx: inngest.Context) -> dict[str, Any]:
    """The cure: five things, five steps."""
    customer_id, body = str(ctx.event.data["customer_id"]), str(ctx.event.data["body"])
    customer = await ctx.step.run("load-customer", outside.look_up, customer_id)
    thread = await ctx.step.run("load-thread", outside.read_mail, f"thread of {customer_id}")
    agent = partial(run_agent, customer=customer, thread=thread, email_body=body)
    response = await ctx.step.run("run-agent", agent)
    await ctx.step.run("save-draft-reply", save_draft, customer_id, ctx.event.id, response["draft"])
    await ctx.step.run("notify-reviewer", outside.tell_team, f"Review the draft for {customer_id}")
    return {"status": "drafted", "reviewer_notified": True}


@client.create_function(
    fn_id="conversation-in-one-piece-wrong", trigger=inngest.TriggerEvent(event="concepts/steps.piece")
)
async def handle_email_in_one_piece(ctx: inngest.Context) -> dict[str, Any]:
    """The failure: the same five things without steps. When one fails, all those before it are done again."""
    customer_id, body = str(ctx.event.data["customer_id"]), str(ctx.event.data["body"])
    customer = await outside.look_up(customer_id)
    thread = await outside.read_mail(f"thread of {customer_id}")
    response = await run_agent(customer=customer, thread=thread, email_body=body)
    await save_draft(customer_id, ctx.event.id, response["draft"])
    await outside.tell_team(f"Review the draft for {customer_id}")
    return {"status": "drafted", "reviewer_notified": True}
