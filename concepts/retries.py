"""Concept 9: retries.

The failure: the model is down for two seconds and the customer never gets an answer. Or the opposite: a card that was
declined is charged again and again, because somebody put a retry around everything.

The idea: a step that raises is tried again, later and later, each with a budget of its own: five attempts, if nothing
else is said. Any exception means "try again", RetryAfterError also says when, NonRetriableError means "never". What is
used up can be caught: StepError. A no from the world is a result: return it.

`except Exception` around a step also catches NonRetriableError, and RetryAfterError at its first attempt; the engine
hears of neither, and the step runs again at every later call (seen in inngest 0.5.19). What is done about a run that
failed for good is in `dead_letters.py`.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client


@client.create_function(fn_id="retries-brief", trigger=inngest.TriggerEvent(event="concepts/retries.brief"), retries=3)
async def brief(ctx: inngest.Context) -> dict[str, Any]:
    """Transient: three steps, four attempts each. Catch and continue: without advice the briefing is partial."""
    customer = await ctx.step.run("look-up-customer", outside.look_up, str(ctx.event.data["customer_id"]))
    try:
        advice = await ctx.step.run("advise", outside.ask_model, f"Advise a {customer['tier']} customer")
    except inngest.StepError:
        advice = None
    await ctx.step.run("tell-team", outside.tell_team, advice or "no advice")
    return {"advice": advice, "partial": advice is None}


async def ask_politely(prompt: str) -> str:
    """A busy model says when to come back; the usual backoff would come too early."""
    try:
        return await outside.ask_model(prompt)
    except outside.BusyError as busy:
        raise inngest.RetryAfterError("the model is busy", timedelta(seconds=busy.args[0])) from busy


@client.create_function(fn_id="retries-later", trigger=inngest.TriggerEvent(event="concepts/retries.question"))
async def answer_later(ctx: inngest.Context) -> str:
    """Wait as long as the model asks for."""
    return await ctx.step.run("ask-model", ask_politely, str(ctx.event.data["question"]))


async def charge(order_id: str) -> str:
    """A decline is permanent: no further attempt will change it."""
    try:
        return await outside.pay(order_id, 4900, order_id)
    except outside.DeclinedError as declined:
        raise inngest.NonRetriableError(str(declined)) from declined


@client.create_function(fn_id="retries-caught-wrong", trigger=inngest.TriggerEvent(event="concepts/retries.caught"))
async def charge_and_catch(ctx: inngest.Context) -> str:
    """The failure: the caught no is forgotten, and the card is charged again before the mail and after it."""
    try:
        outcome = await ctx.step.run("charge", charge, str(ctx.event.data["order_id"]))
    except Exception as no:
        outcome = str(no)
    await ctx.step.run("tell-customer", outside.send_mail, str(ctx.event.data["customer_id"]), outcome)
    return outcome


async def try_to_charge(order_id: str) -> str:
    """A decline as a value, which the engine remembers like any other."""
    try:
        return await outside.pay(order_id, 4900, order_id)
    except outside.DeclinedError as declined:
        return str(declined)


@client.create_function(fn_id="retries-decline", trigger=inngest.TriggerEvent(event="concepts/retries.decline"))
async def charge_and_tell(ctx: inngest.Context) -> str:
    """The cure: one call of the bank, whatever it says."""
    outcome = await ctx.step.run("charge", try_to_charge, str(ctx.event.data["order_id"]))
    await ctx.step.run("tell-customer", outside.send_mail, str(ctx.event.data["customer_id"]), outcome)
    return outcome
