"""Concept 9: retries.

The failure: the model is down for two seconds, and the customer never gets an answer. Or the opposite: a declined card
is charged again and again, because somebody has put a retry around everything.

The idea: a step that raises an error is tried again, after longer and longer pauses. Each step has its own attempts:
five, if nothing else is set. Any exception means "try again"; RetryAfterError also says when; NonRetriableError means
"never again". When the last attempt has failed, the function gets a StepError, which it can catch to go on without the
step. A no from the outside world, such as a declined card, is a result: return it.

Never put `except Exception` around a step. It also catches NonRetriableError, as the course's own example does, and
RetryAfterError at the first attempt. The engine hears of neither, so the step runs again at every later call (seen in
inngest 0.5.19). What to do about a run that has failed for good is in `dead_letters.py`.
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client


async def call_stripe(order_id: str, amount_cents: int) -> dict[str, Any]:
    """Charge the card. Returns the charge or the bank's no, which the engine remembers like any other result."""
    try:
        return {"id": await outside.pay(order_id, amount_cents, order_id)}
    except outside.DeclinedError as declined:
        return {"declined": str(declined)}


@client.create_function(
    fn_id="charge-customer", trigger=inngest.TriggerEvent(event="order/checkout.completed"), retries=2
)
async def charge_customer(ctx: inngest.Context) -> dict[str, str]:
    """The bank is called once if it answers, whatever it answers, and three times if it is down."""
    order_id, amount_cents = str(ctx.event.data["order_id"]), int(str(ctx.event.data["amount_cents"]))
    charge = await ctx.step.run("call-stripe", call_stripe, order_id, amount_cents)
    if "declined" in charge:
        await ctx.step.run("mark-failed", outside.store, {f"failed-{order_id}": charge["declined"]})
        dunning = inngest.Event(name="customer/dunning.requested", data={"order_id": order_id})
        await ctx.step.send_event("emit-dunning-event", dunning)
        return {"status": "card_declined"}
    return {"status": "charged", "charge_id": charge["id"]}


async def charge_or_raise(order_id: str) -> str:
    """Charge the card. Raises NonRetriableError if it is declined."""
    try:
        return await outside.pay(order_id, 4900, order_id)
    except outside.DeclinedError as declined:
        raise inngest.NonRetriableError(str(declined)) from declined


@client.create_function(fn_id="charge-and-catch-wrong", trigger=inngest.TriggerEvent(event="concepts/retries.caught"))
async def charge_and_catch(ctx: inngest.Context) -> str:
    """The failure: the caught error is not remembered, so the declined card is charged before the mail and after it."""
    try:
        outcome = await ctx.step.run("call-stripe", charge_or_raise, str(ctx.event.data["order_id"]))
    except Exception as error:
        outcome = str(error)
    await ctx.step.run("tell-customer", outside.send_mail, str(ctx.event.data["customer_id"]), outcome)
    return outcome


@client.create_function(fn_id="brief-the-team", trigger=inngest.TriggerEvent(event="concepts/retries.brief"), retries=3)
async def brief(ctx: inngest.Context) -> dict[str, Any]:
    """Each of the three steps has four attempts. If no advice comes in four, the briefing is sent without it."""
    customer = await ctx.step.run("look-up-customer", outside.look_up, str(ctx.event.data["customer_id"]))
    try:
        advice = await ctx.step.run("advise", outside.ask_model, f"Advise a {customer['tier']} customer")
    except inngest.StepError:
        advice = None
    await ctx.step.run("tell-team", outside.tell_team, advice or "no advice")
    return {"advice": advice, "partial": advice is None}


async def ask_politely(prompt: str) -> str:
    """Ask the model. A busy model says when to come back, which is later than the usual retry."""
    try:
        return await outside.ask_model(prompt)
    except outside.BusyError as busy:
        raise inngest.RetryAfterError("the model is busy", timedelta(seconds=busy.args[0])) from busy


@client.create_function(fn_id="api/external-call", trigger=inngest.TriggerEvent(event="api/call-external"), retries=5)
async def call_external_api(ctx: inngest.Context) -> str:
    """Up to six attempts. The retry comes when the model has asked for it."""
    return await ctx.step.run("ask-model", ask_politely, str(ctx.event.data["question"]))
