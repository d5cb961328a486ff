"""Beside the concepts: dead letters.

The failure: at night a run uses up its attempts. Nobody is told, and the customer waits for an answer that will not
come. The error message, with her address in it, is in a log that everybody can read.

The idea: a function may have an `on_failure` handler, for what it owes its own customer. And one function listens to
the failures of all others, so that a person finds every failed run of the app in one place.

An `on_failure` handler is not retried, so what must not be lost belongs in the second function. The engine sends no
failure event for a run that a failure event has started. So that function cannot start itself, and a handler that fails
leaves no dead letter. (Seen in inngest 0.5.19 and the dev server of November 2026.)
"""

from typing import Any

import inngest

from concepts import outside
from concepts.retries import charge_or_raise
from concepts.shelf import client

# The engine sends this event for every failed run of every app in its environment; the expression keeps the shelf's.
FAILED = "inngest/function.failed"
OF_THIS_APP = f"event.data.function_id.startsWith('{client.app_id}-')"


async def apologise(ctx: inngest.Context) -> None:
    """The `on_failure` handler. Its event holds the event of the failed run."""
    failed: Any = ctx.event.data
    await outside.send_mail(failed["event"]["data"]["customer_id"], "We could not charge your card.")


@client.create_function(
    fn_id="retries-charge", trigger=inngest.TriggerEvent(event="concepts/retries.charge"), on_failure=apologise
)
async def charge_or_fail(ctx: inngest.Context) -> str:
    """Charge a card. The run fails at once if the card is declined."""
    return await ctx.step.run("charge", charge_or_raise, str(ctx.event.data["order_id"]))


@client.create_function(fn_id="dead-letter", trigger=inngest.TriggerEvent(event=FAILED, expression=OF_THIS_APP))
async def dead_letter(ctx: inngest.Context) -> None:
    """Note every failed run of the shelf by its id. The email and the text of the error stay out of the list."""
    failed: Any = ctx.event.data
    await ctx.step.run("note", outside.note_failure, failed["function_id"], failed["run_id"], failed["error"]["name"])
