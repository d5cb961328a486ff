"""Concept 9: retries.

The failure: the model is down for two seconds and the customer never gets an answer. Or the opposite: a card that was
declined is charged again and again, because somebody put a retry around everything.

The idea: a step that raises is tried again, later and later, and it alone: each step has its own budget of attempts.
The exception says what it is worth: any exception is transient, RetryAfterError names the time, NonRetriableError is
permanent. A budget that is used up can be caught, as StepError. A no from the world is a result: return it.

Catch nothing wider than StepError. `except Exception` around a step also catches NonRetriableError, and RetryAfterError
at its first attempt: the engine hears of neither, remembers nothing, and the step runs again at every later call. An
on_failure handler has no retries; what must not be lost belongs in a dead-letter function. A run that was started by
`inngest/function.failed` sends no such event when it fails: the dead letters cannot wake themselves, and a handler that
fails leaves none. (All seen in inngest 0.5.19 and the official dev server of 11/2026.)
"""

from datetime import timedelta
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client


@client.create_function(
    fn_id="retries-report", trigger=inngest.TriggerEvent(event="concepts/retries.report"), retries=3
)
async def report(ctx: inngest.Context) -> None:
    """Transient: two steps, each with four attempts of its own."""
    customer = await ctx.step.run("look-up-customer", outside.look_up, str(ctx.event.data["customer_id"]))
    await ctx.step.run("tell-team", outside.tell_team, f"a {customer['tier']} customer")


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


@client.create_function(fn_id="retries-brief", trigger=inngest.TriggerEvent(event="concepts/retries.brief"), retries=1)
async def brief(ctx: inngest.Context) -> dict[str, Any]:
    """Catch and continue: a briefing without advice is better than none, if it says that it is partial."""
    customer = await ctx.step.run("look-up-customer", outside.look_up, str(ctx.event.data["customer_id"]))
    try:
        advice = await ctx.step.run("advise", outside.ask_model, f"Advise a {customer['tier']} customer")
    except inngest.StepError:
        advice = None
    await ctx.step.run("tell-team", outside.tell_team, advice or "no advice")
    return {"advice": advice, "partial": advice is None}


async def charge(order_id: str) -> str:
    """A decline is permanent: no further attempt will change it."""
    try:
        return await outside.pay(order_id, 4900, order_id)
    except outside.DeclinedError as declined:
        raise inngest.NonRetriableError(str(declined)) from declined


async def apologise(ctx: inngest.Context) -> None:
    """on_failure: what this function alone owes its customer. If it fails, it is not tried again."""
    failed: Any = ctx.event.data
    await outside.send_mail(failed["event"]["data"]["customer_id"], "We could not charge your card.")


@client.create_function(
    fn_id="retries-charge", trigger=inngest.TriggerEvent(event="concepts/retries.charge"), on_failure=apologise
)
async def charge_or_fail(ctx: inngest.Context) -> str:
    """Permanent: the run fails at the first no."""
    return await ctx.step.run("charge", charge, str(ctx.event.data["order_id"]))


@client.create_function(fn_id="retries-caught-wrong", trigger=inngest.TriggerEvent(event="concepts/retries.caught"))
async def charge_and_catch(ctx: inngest.Context) -> str:
    """The failure: caught, the no is forgotten, and the card is charged again before each later step."""
    try:
        outcome = await ctx.step.run("charge", charge, str(ctx.event.data["order_id"]))
    except Exception as no:
        outcome = str(no)
    await ctx.step.run("tell-team", outside.tell_team, outcome)
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
    await ctx.step.run("tell-team", outside.tell_team, outcome)
    await ctx.step.run("tell-customer", outside.send_mail, str(ctx.event.data["customer_id"]), outcome)
    return outcome


@client.create_function(
    fn_id="dead-letter",
    trigger=inngest.TriggerEvent(
        # Sent for every function of every app of the environment.
        event="inngest/function.failed",
        expression=f"event.data.function_id.startsWith('{client.app_id}-')",
    ),
)
async def dead_letter(ctx: inngest.Context) -> None:
    """Every failed run of the shelf, in one place. By its id: the email in it and the error's text stay out."""
    failed: Any = ctx.event.data
    await ctx.step.run("note", outside.note_failure, failed["function_id"], failed["run_id"], failed["error"]["name"])
