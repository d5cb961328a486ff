"""Concept 3: webhook to event.

The failure: the help desk calls our web server for every ticket. It calls twice when our answer is slow, so that the
customer gets two; it nests the customer four levels deep, and its next version breaks every function that reads it.

The idea: a webhook becomes an event at the door. The name says what happened and is the routing key: the engine calls
the functions that asked for exactly this name. The transform, a few lines without side effects, makes a flat event of
the provider's payload, so that triggers and keys can say `event.data.customer_id`; the provider's id becomes the
event's, so that a notice delivered twice is one event; what nobody needs, the address above all, stays outside.

Inngest can host the transform (Webhooks in its dashboard; it checks no signature), then it is JavaScript:

    function transform(evt, headers) {
      const { ticket } = evt.data;
      return {
        id: `helpdesk-${evt.id}`,
        name: `concepts/webhooks.${evt.type}`,
        data: { customer_id: ticket.requester.external_id, ticket_id: ticket.id, text: ticket.comment.body },
      };
    }

A name that nobody asked for is no error: the event is taken and wakes nobody. So a name is written once, as a constant.
"""

from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

TICKET_CREATED = "concepts/webhooks.ticket.created"
TICKET_CLOSED = "concepts/webhooks.ticket.closed"


def transform(payload: dict[str, Any]) -> inngest.Event:
    """One notice of the help desk as an event."""
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
    """What a door does with a notice, once it has checked the signature: nothing that could take long."""
    await client.send(transform(payload))


@client.create_function(
    fn_id="webhooks-answer-ticket",
    trigger=inngest.TriggerEvent(event=TICKET_CREATED, expression="event.data.customer_id != null"),
)
async def answer_ticket(ctx: inngest.Context) -> None:
    """A new ticket is answered, if it has a customer: the expression can say so because the event is flat."""
    reply = await ctx.step.run("write-reply", outside.ask_model, str(ctx.event.data["text"]))
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)


@client.create_function(fn_id="webhooks-announce-closed", trigger=inngest.TriggerEvent(event=TICKET_CLOSED))
async def announce_closed(ctx: inngest.Context) -> None:
    """A closed one is only told to the team."""
    await ctx.step.run("tell-team", outside.tell_team, f"ticket {ctx.event.data['ticket_id']} is closed")


# Do not copy: one letter is missing, and no ticket will ever wake it.
@client.create_function(
    fn_id="webhooks-escalate-ticket-wrong", trigger=inngest.TriggerEvent(event="concepts/webhooks.ticket.creatd")
)
async def escalate_ticket_wrong(ctx: inngest.Context) -> None:
    """Waits for a name that nobody sends."""
    await ctx.step.run("tell-team", outside.tell_team, f"ticket {ctx.event.data['ticket_id']} is new")
