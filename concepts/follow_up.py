"""Beside the concepts: one function hands over to another, and a wait that lasts as long as the event says.

The failure: a function sends an event with a bare `client.send` between two steps, as the course's guide for FastAPI
does. The engine calls the function again after each step, so the event is sent again each time, and the lead gets the
same letter twice.

The idea: inside a function, `step.send_event` sends once and is remembered. The function that takes over waits until
the moment that its event names (`step.sleep_until`) and calls another function by its id (`step.invoke_by_id`). It need
not import that function, which may belong to another app, written in another language.
"""

from datetime import UTC, datetime
from typing import Any

import inngest

from concepts import outside
from concepts.chaining import NEW_LEAD
from concepts.shelf import client

DAY_SECONDS = 86_400


@client.create_function(fn_id="leads/initial", trigger=NEW_LEAD)
async def initial(ctx: inngest.Context) -> dict[str, str]:
    """Count the lead, hand it over, and end. Several events may be sent in one step."""
    lead_id = str(ctx.event.data["lead_id"])
    await ctx.step.run("count-lead", outside.count, lead_id)
    wait = inngest.Event(
        name="workflow/await-reply",
        id=f"await-reply-{ctx.event.id}",
        data={"lead_id": lead_id, "follow_up_time": DAY_SECONDS},
    )
    counted = inngest.Event(name="workflow/lead-counted", id=f"counted-{ctx.event.id}", data={"lead_id": lead_id})
    await ctx.step.send_event("hand-over", [wait, counted])
    ctx.logger.info("%s is handed over", lead_id)
    return {"status": "completed"}


@client.create_function(fn_id="leads/initial-wrong", trigger=inngest.TriggerEvent(event="concepts/follow_up.wrong"))
async def initial_wrong(ctx: inngest.Context) -> None:
    """The failure: a bare send between two steps. The event has no id either, so each one starts a run."""
    await ctx.step.run("count-lead", outside.count, str(ctx.event.data["lead_id"]))
    data = {"lead_id": ctx.event.data["lead_id"], "follow_up_time": DAY_SECONDS}
    await client.send(inngest.Event(name="workflow/await-reply", data=data))
    await ctx.step.run("tell-team", outside.tell_team, "handed over")


@client.create_function(fn_id="follow-up", trigger=inngest.TriggerEvent(event="workflow/await-reply"))
async def await_reply(ctx: inngest.Context) -> Any:
    """Follow up at the time that the event asks for. `ctx.event.ts` is when it was sent, in milliseconds since 1970."""
    seconds = ctx.event.ts / 1000 + int(str(ctx.event.data["follow_up_time"]))
    await ctx.step.sleep_until("until-follow-up", datetime.fromtimestamp(seconds, UTC))
    data = {"lead_id": ctx.event.data["lead_id"]}
    return await ctx.step.invoke_by_id("remind", app_id=client.app_id, function_id="leads/remind", data=data)


@client.create_function(fn_id="leads/remind", trigger=inngest.TriggerEvent(event="workflow/remind"))
async def remind(ctx: inngest.Context) -> str:
    """Write to the lead once more. The function that invokes this one gets what it returns."""
    await ctx.step.run("send", outside.send_mail, str(ctx.event.data["lead_id"]), "Have you seen our offer?")
    return "reminded"
