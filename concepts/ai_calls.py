"""Concept 10: AI calls.

The failure: the reply is written, the mailbox is down for a moment, and the retry pays for the whole agent again. And
the engine keeps every result: the names, addresses and complaints of customers, in a store that nobody cleans up.

The idea: the agent's run is one step, so nothing that comes later repeats it. If its own retry costs too much, make
each turn a step: when the last of four turns fails once, 8 calls with 158 tokens become 5 calls with 109.

To keep texts out of the engine, let steps return ids of rows in your own database. Or let middleware encrypt what steps
return, with a key that every process has; the text of an exception stays readable (inngest_encryption 0.1.0).
"""

import os

import inngest
from inngest_encryption import EncryptionMiddleware

from concepts import outside
from concepts.shelf import client

TURNS = ("Classify the email.", "Name what to look up.", "Draft a reply.", "Check the draft against the rules.")
ENCRYPT = EncryptionMiddleware.factory(os.environ.get("ENCRYPTION_KEY") or "only for the shelf")


async def turn(said: list[str], task: str) -> str:
    """Take one turn of the agent, which reads all that was said. Returns the answer without the repeated question."""
    answer = await outside.ask_model("\n".join([*said, task]))
    return answer.partition(" to:")[0]


async def run_agent(email: str) -> str:
    """Take all turns. Returns the reply."""
    said = [email]
    for task in TURNS:
        said += [task, await turn(said, task)]
    return said[-1]


@client.create_function(fn_id="ai-one-step", trigger=inngest.TriggerEvent(event="concepts/ai_calls.email"))
async def in_one_step(ctx: inngest.Context) -> None:
    """The rule: the agent's run is one step, and sending its reply is another."""
    reply = await ctx.step.run("run-agent", run_agent, str(ctx.event.data["email_text"]))
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(fn_id="ai-step-by-step", trigger=inngest.TriggerEvent(event="concepts/ai_calls.long-email"))
async def step_by_step(ctx: inngest.Context) -> None:
    """For a long run: each turn is a step."""
    said = [str(ctx.event.data["email_text"])]
    for number, task in enumerate(TURNS):
        said += [task, await ctx.step.run(f"turn-{number}", turn, said, task)]
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), said[-1])


@client.create_function(fn_id="ai-text-wrong", trigger=inngest.TriggerEvent(event="concepts/ai_calls.text"))
async def text_wrong(ctx: inngest.Context) -> None:
    """The failure: the engine keeps the email and the reply, because steps return them."""
    email = await ctx.step.run("read-email", outside.read_mail, str(ctx.event.data["message_id"]))
    reply = await ctx.step.run("write-reply", outside.ask_model, email)
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(
    fn_id="ai-text-encrypted", trigger=inngest.TriggerEvent(event="concepts/ai_calls.encrypted"), middleware=[ENCRYPT]
)
async def text_encrypted(ctx: inngest.Context) -> None:
    """One cure: the same steps, and the engine keeps what it cannot read."""
    email = await ctx.step.run("read-email", outside.read_mail, str(ctx.event.data["message_id"]))
    reply = await ctx.step.run("write-reply", outside.ask_model, email)
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


async def draft(message_id: str) -> str:
    """Read the email, write the reply and store it. Returns the reply's id."""
    reply = await outside.ask_model(await outside.read_mail(message_id))
    await outside.store({f"draft-{message_id}": reply})
    return f"draft-{message_id}"


async def send_draft(customer_id: str, draft_id: str) -> None:
    """Send the stored reply."""
    await outside.send_mail(customer_id, outside.stored[draft_id])


@client.create_function(fn_id="ai-references", trigger=inngest.TriggerEvent(event="concepts/ai_calls.references"))
async def with_references(ctx: inngest.Context) -> None:
    """The other cure: the engine sees only ids."""
    draft_id = await ctx.step.run("write-reply", draft, str(ctx.event.data["message_id"]))
    await ctx.step.run("send-reply", send_draft, str(ctx.event.data["customer_id"]), draft_id)
