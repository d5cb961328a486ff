"""Beside the concepts: middleware, for what every function needs and none should bring itself.

The failure: a stopwatch around a step, written into the function, never measures the step: the call that does the work
ends inside it, and the calls after that find the result and measure nothing, again and again. And a database
connection that every function opens for itself cannot be exchanged, neither for a test nor for another customer's.

The idea: middleware goes around every call. `transform_input` hands things to the function; `before_execution` and
`after_execution` go around new code only, never around the repeating of what is done; `transform_output` knows which
step it was.

Seen in inngest 0.5.19: `transform_output` is called for a step that raised, too, though its description says it is not;
`before_execution` is called once in each call, and before a sleep as well.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

LookUp = Callable[[str], Awaitable[dict[str, str]]]
EXECUTED = {"StepRun", "StepError", "StepFailed"}
# What has been measured: the step and its seconds.
timings: list[tuple[str, float]] = []
noted: list[tuple[str, float]] = []
# What functions are handed; whoever wants them to have something else puts it here.
dependencies: dict[str, Any] = {"look_up": outside.look_up}


class Dependencies(inngest.Middleware):
    """Hands each function its `dependencies` as attributes of its context."""

    async def transform_input(self, ctx: Any, function: Any, steps: inngest.StepMemos) -> None:
        """Before the function."""
        vars(ctx).update(dependencies)


class Timing(inngest.Middleware):
    """Measures every attempt of every step."""

    async def before_execution(self) -> None:
        """Before new code."""
        self.started = perf_counter()

    async def after_execution(self) -> None:
        """After new code."""
        self.seconds = perf_counter() - self.started

    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        """With what it came to."""
        if result.step is not None and result.step.op.value in EXECUTED:
            timings.append((result.step.id, self.seconds))


@client.create_function(
    fn_id="middleware-answer",
    trigger=inngest.TriggerEvent(event="concepts/middleware.email"),
    middleware=[Dependencies, Timing],
)
async def answer(ctx: inngest.Context) -> str:
    """Look up and write, measured from outside, with the look-up it is handed."""
    look_up: LookUp = vars(ctx)["look_up"]
    customer = await ctx.step.run("look-up", look_up, str(ctx.event.data["customer_id"]))
    return await ctx.step.run("write", outside.ask_model, f"Greet a {customer['tier']} customer")


@client.create_function(fn_id="middleware-wrong", trigger=inngest.TriggerEvent(event="concepts/middleware.by_hand"))
async def by_hand(ctx: inngest.Context) -> str:
    """The failure: a stopwatch inside the function, and the database it chose itself."""
    started = perf_counter()
    customer = await ctx.step.run("look-up", outside.look_up, str(ctx.event.data["customer_id"]))
    noted.append(("look-up", perf_counter() - started))
    reply = await ctx.step.run("write", outside.ask_model, f"Greet a {customer['tier']} customer")
    noted.append(("write", perf_counter() - started))
    return reply
