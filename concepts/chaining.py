"""Beside the concepts: step chaining, here over the life of a lead.

The failure: a model judges a lead in passing, between two steps. The engine calls the function again after each step,
the model is asked again and now says something else: the lead that was promised a call gets the brochure instead, sales
waits for nobody, and every answer was paid for.

The idea: each link is a step, and takes what the link before returned. The decision is a link too: remembered once, it
sends every later call of the function down the same branch, to its end days later.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client


async def judge(lead_id: str, message: str) -> str:
    """The model's judgement. Models vary: this one says hot and cold in turn."""
    answer = await outside.ask_model(f"Is this lead hot or cold? {message}")
    return "hot" if int(answer.split()[1]) % 2 else "cold"


@client.create_function(fn_id="chaining-lead", trigger=inngest.TriggerEvent(event="concepts/chaining.lead"))
async def follow_a_lead(ctx: inngest.Context) -> str:
    """Enrich, judge; then a meeting with sales, or two letters four days apart. Returns how it went."""
    lead_id, message = str(ctx.event.data["lead_id"]), str(ctx.event.data["message"])
    company = await ctx.step.run("enrich", outside.look_up, lead_id)
    verdict = await ctx.step.run("judge", judge, lead_id, f"{company['tier']}: {message}")
    return await meet(ctx, lead_id) if verdict == "hot" else await nurture(ctx, lead_id)


async def meet(ctx: inngest.Context, lead_id: str) -> str:
    """The hot branch: sales calls, and whoever has no date after three days joins the letters."""
    await ctx.step.run("tell-sales", outside.tell_team, f"Call {lead_id}")
    booked = await ctx.step.wait_for_event(
        "await-meeting",
        event="concepts/chaining.meeting_booked",
        if_exp="async.data.lead_id == event.data.lead_id",
        timeout=timedelta(days=3),
    )
    return await nurture(ctx, lead_id) if booked is None else f"{lead_id} meets sales"


async def nurture(ctx: inngest.Context, lead_id: str) -> str:
    """The cold branch."""
    await ctx.step.run("send-brochure", outside.send_mail, lead_id, "What we do")
    await ctx.step.sleep("before-the-second", timedelta(days=4))
    await ctx.step.run("send-offer", outside.send_mail, lead_id, "What it would cost you")
    return f"{lead_id} has two letters"


@client.create_function(
    fn_id="chaining-wrong", trigger=inngest.TriggerEvent(event="concepts/chaining.judged_in_passing")
)
async def judge_in_passing(ctx: inngest.Context) -> Any:
    """The failure: the same without the step around the judgement."""
    lead_id, message = str(ctx.event.data["lead_id"]), str(ctx.event.data["message"])
    verdict = await judge(lead_id, message)
    return await meet(ctx, lead_id) if verdict == "hot" else await nurture(ctx, lead_id)
