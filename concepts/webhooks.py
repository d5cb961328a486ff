"""Concept 3: webhook to event.

The failure: Stripe calls our web server for every refund that its bank sends back. When we answer slowly it calls
again, and the support team is told twice. Its payload is nested, and its next version breaks every function that reads
it. And a restart in the middle of the work loses the notice.

The idea: there are two doors. Through the first, this route, the outside world brings data: the route checks the
signature, makes a small flat event of the payload, sends it, and answers within milliseconds. Through the second,
`/api/inngest`, the engine calls to run the function that listens to exactly this name. The provider's id becomes the
event's id, so that a notice delivered twice is one event. What no function needs, such as the address, is left out.

The worker listens to `stripe/charge.refund.failed` as well, so the name has the prefix `concepts/` here. A name that no
function listens to is not an error: the engine lists the event in its dashboard and starts nothing. So write each name
once, as a constant. Inngest can also host the first door (Webhooks in its dashboard; it checks no signature). Then
`reshape` is written in JavaScript, as `function transform(evt, headers)`, and returns the same id, name and data.
"""

import hashlib
import hmac
import json
from typing import Any

import fastapi
import inngest

from concepts import outside
from concepts.shelf import client

REFUND_FAILED = "concepts/stripe/charge.refund.failed"
# A real secret comes from the environment.
SECRET = b"only for the shelf"
router = fastapi.APIRouter()


def sign(body: bytes) -> str:
    """Sign a body as the sender does. Real Stripe signs a time as well; `web/webhooks/stripe_events.py` checks both."""
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def reshape(notice: dict[str, Any]) -> inngest.Event:
    """Make a flat event of a notice."""
    refund = notice["data"]["object"]
    data = {"charge_id": refund["charge"], "amount_cents": refund["amount"], "reason": refund["failure_reason"]}
    return inngest.Event(id=f"stripe-{notice['id']}", name=f"concepts/stripe/{notice['type']}", data=data)


@router.post("/webhooks/stripe")
async def stripe_webhook(request: fastapi.Request) -> dict[str, bool]:
    """The first door. It does no work of its own. Raises HTTPException 400 if the signature is wrong."""
    body = await request.body()
    if not hmac.compare_digest(request.headers.get("signature", "").encode(), sign(body).encode()):
        raise fastapi.HTTPException(400, "The signature is wrong.")
    await client.send(reshape(json.loads(body)))
    return {"ok": True}


async def find_ticket(charge_id: str) -> dict[str, str]:
    """Stands for a query of the database. Returns the support ticket that the charge belongs to."""
    return {"id": f"ticket-{charge_id}"}


async def notify_support(ticket_id: str, charge_id: str) -> None:
    """Tell the support team."""
    await outside.tell_team(f"{ticket_id}: the refund of {charge_id} failed")


@client.create_function(
    fn_id="handle-stripe-refund-failed",
    trigger=inngest.TriggerEvent(event=REFUND_FAILED, expression="event.data.charge_id != null"),
)
async def on_refund_failed(ctx: inngest.Context) -> dict[str, str]:
    """The work behind the doors. Its expression can ask for a charge because the event is flat."""
    charge_id = str(ctx.event.data["charge_id"])
    ticket = await ctx.step.run("find-ticket-for-refund", find_ticket, charge_id)
    await ctx.step.run("notify-support-agent", notify_support, ticket["id"], charge_id)
    return {"ticket": ticket["id"], "action": "notified"}


# Do not copy this: a letter is missing in the name, so no notice will ever start it.
@client.create_function(
    fn_id="misspelt-refund-failed-wrong", trigger=inngest.TriggerEvent(event="concepts/stripe/charge.refund.faild")
)
async def misspelt_wrong(ctx: inngest.Context) -> None:
    """Listens to a name that nobody sends."""
    await ctx.step.run("notify-support-agent", outside.tell_team, "A refund failed.")
