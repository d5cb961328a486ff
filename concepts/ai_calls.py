"""Concept 10: AI calls.

The failure: the reply is written, the mailbox is down for a moment, and the retry pays the whole agent again. And every
result is kept by the engine: the customers' names, addresses and complaints, where nobody deletes them.

The idea: the agent's run is one step, which nothing that comes later repeats. Where it is so long that its own retry
hurts, each turn is a step. A turn reads all that was said, so the last are the dearest: when the last of four fails
once, 8 calls with 158 tokens become 5 with 109.

Steps return references, ids of what lies in your own database. Or the middleware encrypts what they return, with a key
that every process has; the text of an exception stays readable (inngest_encryption 0.1.0). The one exception, a model
that the engine itself calls, is in `ai_gateway.py`.
"""

import os

import inngest
from inngest_encryption import EncryptionMiddleware

from concepts import outside
from concepts.shelf import client

TURNS = ("Classify the email.", "Name what to look up.", "Draft a reply.", "Check the draft against the rules.")
KEY = os.environ.get("ENCRYPTION_KEY") or "only for the shelf"


async def turn(said: list[str], task: str) -> str:
    """One turn of the agent: it reads all that was said. Returns its answer without the question it repeats."""
    answer = await outside.ask_model("\n".join([*said, task]))
    return answer.partition(" to:")[0]


async def run_agent(email: str) -> str:
    """All its turns."""
    said = [email]
    for task in TURNS:
        said += [task, await turn(said, task)]
    return said[-1]


@client.create_function(fn_id="ai-one-step", trigger=inngest.TriggerEvent(event="concepts/ai_calls.email"))
async def in_one_step(ctx: inngest.Context) -> None:
    """The rule: the agent's run is a step, and what is done with its reply another."""
    reply = await ctx.step.run("run-agent", run_agent, str(ctx.event.data["email_text"]))
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(fn_id="ai-step-by-step", trigger=inngest.TriggerEvent(event="concepts/ai_calls.long-email"))
async def step_by_step(ctx: inngest.Context) -> None:
    """For long runs: each turn is a step."""
    said = [str(ctx.event.data["email_text"])]
    for number, task in enumerate(TURNS):
        said += [task, await ctx.step.run(f"turn-{number}", turn, said, task)]
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), said[-1])


async def with_text(ctx: inngest.Context) -> None:
    """The email and the reply pass through the engine's store."""
    email = await ctx.step.run("read-email", outside.read_mail, str(ctx.event.data["message_id"]))
    reply = await ctx.step.run("write-reply", outside.ask_model, email)
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


text_wrong = client.create_function(
    fn_id="ai-text-wrong", trigger=inngest.TriggerEvent(event="concepts/ai_calls.text")
)(with_text)
text_encrypted = client.create_function(
    fn_id="ai-text-encrypted",
    trigger=inngest.TriggerEvent(event="concepts/ai_calls.encrypted"),
    middleware=[EncryptionMiddleware.factory(KEY)],
)(with_text)


async def draft(message_id: str) -> str:
    """Read the email, write the reply and keep it in the database. Returns its id."""
    reply = await outside.ask_model(await outside.read_mail(message_id))
    await outside.store({f"draft-{message_id}": reply})
    return f"draft-{message_id}"


async def send_draft(customer_id: str, draft_id: str) -> None:
    """Send what lies in the database."""
    await outside.send_mail(customer_id, outside.stored[draft_id])


@client.create_function(fn_id="ai-references", trigger=inngest.TriggerEvent(event="concepts/ai_calls.references"))
async def with_references(ctx: inngest.Context) -> None:
    """The engine hears ids only."""
    draft_id = await ctx.step.run("write-reply", draft, str(ctx.event.data["message_id"]))
    await ctx.step.run("send-reply", send_draft, str(ctx.event.data["customer_id"]), draft_id)
