"""Concept 3: webhook to event.

The failure: the help desk calls our web server for every ticket. When we answer slowly it calls again, and the customer
gets two answers. It nests the customer four levels deep, and its next version breaks every function that reads it.

The idea: a webhook becomes an event as soon as it arrives. The event's name says what happened, and the engine calls
the functions that listen to exactly this name. The transform is a few lines without side effects that make a flat event
of the provider's payload, so that triggers and keys can say `event.data.customer_id`. The provider's id becomes the
event's id, so that a notice delivered twice is one event. What no function needs, such as the address, is left out.

Inngest can host the transform (Webhooks in its dashboard; it checks no signature). Then it is written in JavaScript:

    function transform(evt, headers) {
      const { ticket } = evt.data;
      return {
        id: `helpdesk-${evt.id}`,
        name: `concepts/webhooks.${evt.type}`,
        data: { customer_id: ticket.requester.external_id, ticket_id: ticket.id, text: ticket.comment.body },
      };
    }

A name that no function listens to is not an error: the engine takes the event and starts nothing. So write each name
once, as a constant.
"""

from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

TICKET_CREATED = "concepts/webhooks.ticket.created"
TICKET_CLOSED = "concepts/webhooks.ticket.closed"


def transform(payload: dict[str, Any]) -> inngest.Event:
    """Make an event of one notice from the help desk."""
    ticket = payload["data"]["ticket"]
    return inngest.Event(
        id=f"helpdesk-{payload['id']}",
        name=f"concepts/webhooks.{payload['type']}",
        data={
            "customer_id": ticket["requester"]["external_id"],
            "ticket_id": ticket["id"],
            "text": ticket["comment"]["body"],
        },
    )


async def receive(payload: dict[str, Any]) -> None:
    """Send the event. A web route does only this once it has checked the signature, so that it answers fast."""
    await client.send(transform(payload))


@client.create_function(
    fn_id="webhooks-answer-ticket",
    trigger=inngest.TriggerEvent(event=TICKET_CREATED, expression="event.data.customer_id != null"),
)
async def answer_ticket(ctx: inngest.Context) -> None:
    """Answer a new ticket that has a customer. The expression can ask for that because the event is flat."""
    reply = await ctx.step.run("write-reply", outside.ask_model, str(ctx.event.data["text"]))
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(fn_id="webhooks-announce-closed", trigger=inngest.TriggerEvent(event=TICKET_CLOSED))
async def announce_closed(ctx: inngest.Context) -> None:
    """Only tell the team that a ticket was closed."""
    await ctx.step.run("tell-team", outside.tell_team, f"ticket {ctx.event.data['ticket_id']} is closed")


# Do not copy this: a letter is missing in the name, so no ticket will ever start it.
@client.create_function(
    fn_id="webhooks-escalate-ticket-wrong", trigger=inngest.TriggerEvent(event="concepts/webhooks.ticket.creatd")
)
async def escalate_ticket_wrong(ctx: inngest.Context) -> None:
    """Listens to a name that nobody sends."""
    await ctx.step.run("tell-team", outside.tell_team, f"ticket {ctx.event.data['ticket_id']} is new")
