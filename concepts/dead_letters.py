"""Beside the concepts: dead letters.

The failure: a run has used up its attempts at night. Nobody is told, the customer waits for an answer that will not
come, and the error message with her address in it lies in a log that everybody can read.

The idea: a function may have an on_failure handler, for what it owes its own customer. And one function listens to the
failures of all others: every failed run of the app in one place, by its id, for a person.

An on_failure handler has no retries; what must not be lost belongs in the dead-letter function. The engine sends no
failure event for a run that a failure event has started, so that function cannot wake itself, and a handler that fails
leaves no dead letter. (Seen in inngest 0.5.19 and the dev server of November 2026.)
"""

from typing import Any

import inngest

from concepts import outside
from concepts.retries import charge
from concepts.shelf import client


async def apologise(ctx: inngest.Context) -> None:
    """on_failure: what this function owes its customer. Not tried again."""
    failed: Any = ctx.event.data
    await outside.send_mail(failed["event"]["data"]["customer_id"], "We could not charge your card.")


CHARGE = inngest.TriggerEvent(event="concepts/retries.charge")


@client.create_function(fn_id="retries-charge", trigger=CHARGE, on_failure=apologise)
async def charge_or_fail(ctx: inngest.Context) -> str:
    """Permanent: the run fails at the first no."""
    return await ctx.step.run("charge", charge, str(ctx.event.data["order_id"]))


# Sent for every function of every app of the environment.
FAILED, MINE = "inngest/function.failed", f"event.data.function_id.startsWith('{client.app_id}-')"


@client.create_function(fn_id="dead-letter", trigger=inngest.TriggerEvent(event=FAILED, expression=MINE))
async def dead_letter(ctx: inngest.Context) -> None:
    """Every failed run of the shelf, in one place. By its id: the email in it and the error's text stay out."""
    failed: Any = ctx.event.data
    await ctx.step.run("note", outside.note_failure, failed["function_id"], failed["run_id"], failed["error"]["name"])
