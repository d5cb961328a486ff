"""Concept 1: events, not requests.

The failure: the contact form calls the worker and waits for the answer. While the worker is being deployed, or the
model is down, the customer sees an error page, and the message is lost.

The idea: whoever has news sends an event, which is a fact with a name, and goes on. The engine keeps the event and
calls every function that listens to that name, again and again until it answers. The sender, or producer, knows none of
these functions, the consumers: a new consumer is added beside the others, and the producer stays as it is.

The event does not wait for ever. Each call to an app that is down uses up one attempt of the run (seen on the official
dev server with inngest 0.5.19). The default of 4 retries lasts about five minutes; 20, the maximum, last about a day.
"""

import inngest

from concepts import outside
from concepts.shelf import client

MESSAGE = "concepts/events.message"


async def take_message(message_id: str, customer_id: str, text: str) -> None:
    """The producer. It returns as soon as the engine has the event, whatever the consumers do with it later."""
    data = {"customer_id": customer_id, "text": text}
    await client.send(inngest.Event(name=MESSAGE, id=f"message-{message_id}", data=data))


async def take_message_wrong(customer_id: str, text: str) -> None:
    """Do not copy this: the customer waits for the model and the mailbox, and gets an error when one of them fails."""
    await outside.send_mail(customer_id, await outside.ask_model(text))


@client.create_function(fn_id="events-answer-message", trigger=inngest.TriggerEvent(event=MESSAGE), retries=20)
async def answer_message(ctx: inngest.Context) -> None:
    """The first consumer answers the customer."""
    reply = await ctx.step.run("write-reply", outside.ask_model, str(ctx.event.data["text"]))
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(fn_id="events-announce-message", trigger=inngest.TriggerEvent(event=MESSAGE), retries=20)
async def announce_message(ctx: inngest.Context) -> None:
    """The second consumer was added a month later. The producer and the first consumer did not change for it."""
    await ctx.step.run("tell-team", outside.tell_team, f"{ctx.event.data['customer_id']} has written")
