"""Concept 1: events, not requests.

The failure: the program that receives an email calls the agent and waits for its answer. While the agent is being
deployed, or the model is down, the caller gets an error, and the email is lost.

The idea: whoever has news sends an event, which is a fact with a name, and goes on. The engine keeps the event and
calls every function that listens to that name, again and again until it answers. The sender, or producer, knows none of
these functions, the consumers: a new consumer is added beside the others, and the producer stays as it is.

The course calls this event `customer/email.received`. So does the worker, and an engine calls every function that
listens to a name, in whatever app it is. That is why the name has the prefix `concepts/` here.

The event does not wait for ever. Each call to an app that is down uses up one attempt of the run (seen on the official
dev server with inngest 0.5.19). The default of 4 retries lasts about five minutes; 20, the maximum, last about a day.
"""

import inngest

from concepts import outside
from concepts.shelf import client

EMAIL_RECEIVED = "concepts/customer/email.received"


async def receive_email(message_id: str, customer_id: str, subject: str, body: str) -> None:
    """The producer. It returns as soon as the engine has the event, whatever the consumers do with it later."""
    data = {"customer_id": customer_id, "subject": subject, "body": body}
    await client.send(inngest.Event(name=EMAIL_RECEIVED, id=f"email-{message_id}", data=data))


async def receive_email_wrong(customer_id: str, body: str) -> None:
    """Do not copy this: the caller waits for the model and the database, and gets an error when one of them fails."""
    await outside.store({f"draft-{customer_id}": await outside.ask_model(body)})


# The first consumer is the agent, in concept 6 (steps.py). This one was added a month later, and neither the producer
# nor the agent changed for it.
@client.create_function(fn_id="email-analytics", trigger=inngest.TriggerEvent(event=EMAIL_RECEIVED), retries=20)
async def email_analytics(ctx: inngest.Context) -> None:
    """Count the email for the statistics."""
    await ctx.step.run("count-email", outside.count, str(ctx.event.data["customer_id"]))
