"""Beside the concepts: step chaining, here over the life of a lead.

The failure: a model chooses between two steps how to reach a lead. The engine calls the function again after each step,
so the model is asked again and now says something else. The lead for whom a call was prepared gets an email, and every
answer was paid for.

The idea: each link of the chain is a step and takes what the link before it returned. The decision is a link too: it is
remembered, and sends every later call of the function down the same branch, until the run ends days later.

The route below saves the lead before it sends the event: a run must find the row that its event speaks of. If the
process dies between the two, the caller gets no answer and asks again, with the same id and so with the same event.
"""

import fastapi
import inngest
from pydantic import BaseModel

from concepts import outside
from concepts.shelf import client

NEW_LEAD = inngest.TriggerEvent(event="api/new-lead")
router = fastapi.APIRouter()


class Lead(BaseModel):
    """What the form sends. The id is the form's own, the same when it is sent again."""

    id: str
    message: str


@router.post("/leads")
async def create_lead(lead: Lead) -> dict[str, str]:
    """Save the lead, and only then send the event that starts the work."""
    await outside.store({f"lead-{lead.id}": lead.model_dump()})
    event = inngest.Event(
        name="api/new-lead", id=f"lead-{lead.id}", data={"lead_id": lead.id, "lead": {"message": lead.message}}
    )
    await client.send(event)
    return {"lead_id": lead.id, "status": "workflow_triggered"}


async def choose_method(offer: str) -> dict[str, str]:
    """Ask the model how to reach the lead. As models vary, this one says phone and email in turn."""
    answer = await outside.ask_model(f"Phone or email? {offer}")
    number = int(answer.split()[1])
    return {"first_method": "phone" if number % 2 == 0 else "email"}


async def reach(ctx: inngest.Context, lead_id: str, method: str, offer: str) -> None:
    """Prepare and start the first contact: two steps of either branch."""
    if method == "email":
        text = await ctx.step.run("create-email", outside.ask_model, f"Write: {offer}")
        await ctx.step.run("send-email", outside.send_mail, lead_id, text)
    else:
        script = await ctx.step.run("create-call-script", outside.ask_model, f"Prepare a call: {offer}")
        await ctx.step.run("initiate-call", outside.tell_team, f"Call {lead_id}: {script}")


@client.create_function(fn_id="leads/process-new-lead", trigger=NEW_LEAD)
async def process_new_lead(ctx: inngest.Context) -> dict[str, str]:
    """Five links: a profile, an offer made of it, a strategy made of both, and what the strategy says."""
    lead_id, lead = str(ctx.event.data["lead_id"]), ctx.event.data["lead"]
    profile = await ctx.step.run("create-profile", outside.look_up, lead_id)
    offer = await ctx.step.run("create-offer", outside.ask_model, f"Offer for {profile['tier']}: {lead}")
    strategy = await ctx.step.run("create-strategy", choose_method, offer)
    await reach(ctx, lead_id, strategy["first_method"], offer)
    return {"status": "completed", "lead_id": lead_id, "method": strategy["first_method"]}


@client.create_function(fn_id="leads/process-wrong", trigger=inngest.TriggerEvent(event="concepts/chaining.in_passing"))
async def choose_in_passing(ctx: inngest.Context) -> None:
    """The failure: the same branches, but the choice is made between the steps."""
    strategy = await choose_method("an offer")
    await reach(ctx, str(ctx.event.data["lead_id"]), strategy["first_method"], "an offer")
