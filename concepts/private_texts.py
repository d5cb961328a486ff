"""Beside the concepts: private texts, and how to keep them out of the engine.

The failure: the engine keeps every result of a step and shows it in its dashboard: the names, addresses and complaints
of customers, in a store that nobody cleans up and that many may read.

The idea: let steps return ids of rows in your own database, and read the text again inside the step that needs it. Or
let middleware encrypt what steps return, with a key that every process has; the text of an exception stays readable
(inngest_encryption 0.1.0).
"""

import os

import inngest
from inngest_encryption import EncryptionMiddleware

from concepts import outside
from concepts.shelf import client

ENCRYPT = EncryptionMiddleware.factory(os.environ.get("ENCRYPTION_KEY") or "only for the shelf")


@client.create_function(fn_id="private-text-wrong", trigger=inngest.TriggerEvent(event="concepts/private_texts.text"))
async def text_wrong(ctx: inngest.Context) -> None:
    """The failure: the engine keeps the email and the reply, because steps return them."""
    email = await ctx.step.run("read-email", outside.read_mail, str(ctx.event.data["message_id"]))
    reply = await ctx.step.run("write-reply", outside.ask_model, email)
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(
    fn_id="private-text-encrypted",
    trigger=inngest.TriggerEvent(event="concepts/private_texts.encrypted"),
    middleware=[ENCRYPT],
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


@client.create_function(
    fn_id="private-references", trigger=inngest.TriggerEvent(event="concepts/private_texts.references")
)
async def with_references(ctx: inngest.Context) -> None:
    """The other cure: the engine sees only ids."""
    draft_id = await ctx.step.run("write-reply", draft, str(ctx.event.data["message_id"]))
    await ctx.step.run("send-reply", send_draft, str(ctx.event.data["customer_id"]), draft_id)
