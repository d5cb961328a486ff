"""Beside the concepts: middleware, for what every function needs and none should bring itself.

The failure: a stopwatch around a step, written into the function, never measures the step. The call of the function
that does the step's work ends inside the step, and the later calls only find its result. And when every function opens
its own database connection, neither a test nor another customer can be given another one.

The idea: middleware goes around every call of a function. `transform_input` hands something to the function.
`before_execution` and `after_execution` go around new work only, and never around a step whose result is remembered.
`transform_output` knows which step it was.

Seen in inngest 0.5.19: `transform_output` is also called for a step that raised an error, although its description says
otherwise; `before_execution` is called once in each call, also when the only new thing is a sleep.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

LookUp = Callable[[str], Awaitable[dict[str, str]]]
# The names under which the SDK reports a step that ran; others are sleeps, waits and steps that are only planned.
EXECUTED = ("StepRun", "StepError", "StepFailed")
# What was measured, as step and seconds: by the middleware, and by hand.
timings: list[tuple[str, float]] = []
noted: list[tuple[str, float]] = []
# What the functions are handed. A test puts something else here.
dependencies: dict[str, LookUp] = {"look_up": outside.look_up}


class Dependencies(inngest.Middleware):
    """Hands the look-up to each function, as `ctx.look_up`."""

    async def transform_input(self, ctx: Any, function: Any, steps: inngest.StepMemos) -> None:
        """The SDK calls this before the function."""
        ctx.look_up = dependencies["look_up"]


class Timing(inngest.Middleware):
    """Measures every attempt of every step."""

    async def before_execution(self) -> None:
        """The SDK calls this before new work."""
        self.started = perf_counter()

    async def after_execution(self) -> None:
        """The SDK calls this after new work."""
        self.seconds = perf_counter() - self.started

    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        """The SDK calls this with the result of the new work."""
        if result.step is not None and result.step.op.value in EXECUTED:
            timings.append((result.step.id, self.seconds))


@client.create_function(
    fn_id="middleware-answer",
    trigger=inngest.TriggerEvent(event="concepts/middleware.email"),
    middleware=[Dependencies, Timing],
)
async def answer(ctx: inngest.Context) -> str:
    """The cure: the middleware measures the steps and has added `look_up` to the context."""
    look_up: LookUp = ctx.look_up  # type: ignore[attr-defined]
    customer = await ctx.step.run("look-up", look_up, str(ctx.event.data["customer_id"]))
    return await ctx.step.run("write", outside.ask_model, f"Greet a {customer['tier']} customer")


@client.create_function(fn_id="middleware-wrong", trigger=inngest.TriggerEvent(event="concepts/middleware.by_hand"))
async def by_hand(ctx: inngest.Context) -> str:
    """The failure: a stopwatch inside the function, and a database that the function has chosen itself."""
    started = perf_counter()
    customer = await ctx.step.run("look-up", outside.look_up, str(ctx.event.data["customer_id"]))
    noted.append(("look-up", perf_counter() - started))
    reply = await ctx.step.run("write", outside.ask_model, f"Greet a {customer['tier']} customer")
    noted.append(("write", perf_counter() - started))
    return reply
