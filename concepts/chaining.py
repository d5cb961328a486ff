"""Beside the concepts: step chaining, here over the life of a lead.

The failure: a model judges a lead between two steps. The engine calls the function again after each step, so the model
is asked again and now says something else. The lead that was promised a call gets the brochure instead, sales waits for
nobody, and every answer was paid for.

The idea: each link of the chain is a step and takes what the link before it returned. The decision is a link too: it is
remembered, and sends every later call of the function down the same branch, until the run ends days later.
"""

from datetime import timedelta

import inngest

from concepts import outside
from concepts.shelf import client


async def judge(lead_id: str, message: str) -> str:
    """Ask the model whether the lead is hot or cold. As models vary, this one says hot and cold in turn."""
    answer = await outside.ask_model(f"Is this lead hot or cold? {message}")
    number = int(answer.split()[1])
    return "hot" if number % 2 == 1 else "cold"


@client.create_function(fn_id="chaining-lead", trigger=inngest.TriggerEvent(event="concepts/chaining.lead"))
async def follow_a_lead(ctx: inngest.Context) -> str:
    """Look up the lead and judge it. A hot lead meets sales, a cold one gets letters. Returns how it ended."""
    lead_id, message = str(ctx.event.data["lead_id"]), str(ctx.event.data["message"])
    company = await ctx.step.run("enrich", outside.look_up, lead_id)
    verdict = await ctx.step.run("judge", judge, lead_id, f"{company['tier']}: {message}")
    if verdict == "hot":
        return await meet(ctx, lead_id)
    return await nurture(ctx, lead_id)


async def meet(ctx: inngest.Context, lead_id: str) -> str:
    """The hot branch: sales calls. A lead that has made no date after three days goes on to the cold branch."""
    await ctx.step.run("tell-sales", outside.tell_team, f"Call {lead_id}")
    booked = await ctx.step.wait_for_event(
        "await-meeting",
        event="concepts/chaining.meeting_booked",
        if_exp="async.data.lead_id == event.data.lead_id",
        timeout=timedelta(days=3),
    )
    if booked is None:
        return await nurture(ctx, lead_id)
    return f"{lead_id} meets sales"


async def nurture(ctx: inngest.Context, lead_id: str) -> str:
    """The cold branch: two letters, four days apart."""
    await ctx.step.run("send-brochure", outside.send_mail, lead_id, "What we do")
    await ctx.step.sleep("before-the-second", timedelta(days=4))
    await ctx.step.run("send-offer", outside.send_mail, lead_id, "What it would cost you")
    return f"{lead_id} has two letters"


@client.create_function(
    fn_id="chaining-wrong", trigger=inngest.TriggerEvent(event="concepts/chaining.judged_in_passing")
)
async def judge_in_passing(ctx: inngest.Context) -> str:
    """The failure: the same function without a step around the judgement."""
    lead_id, message = str(ctx.event.data["lead_id"]), str(ctx.event.data["message"])
    if await judge(lead_id, message) == "hot":
        return await meet(ctx, lead_id)
    return await nurture(ctx, lead_id)
