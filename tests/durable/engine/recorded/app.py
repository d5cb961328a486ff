"""The app that the recordings beside this file were made with: one function per feature of the SDK.

What the official server sent to it, the stand-in has to send to it.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import fastapi
import inngest
import inngest.fast_api

Body = Callable[[inngest.Context], Awaitable[Any]]

seconds = datetime.timedelta
calls: Counter[str] = Counter()
definitions: list[tuple[dict[str, Any], Body]] = []


def make_app(engine: str) -> fastapi.FastAPI:
    """The app, talking to the server at `engine` (a URL)."""
    client = inngest.Inngest(
        app_id="rec",
        is_production=False,
        api_base_url=engine,
        event_api_base_url=engine,
        logger=logging.getLogger("rec"),
    )
    app = fastapi.FastAPI()
    functions = [client.create_function(**settings)(body) for settings, body in definitions]
    inngest.fast_api.serve(app, client, functions)
    return app


def on(event: str, expression: str | None = None) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=event, expression=expression)


def function(**settings: Any) -> Callable[[Body], Body]:
    def define(body: Body) -> Body:
        definitions.append((settings, body))
        return body

    return define


async def one() -> dict[str, int]:
    return {"v": 1}


async def boom() -> None:
    raise ValueError("always")


async def refuse() -> None:
    raise inngest.NonRetriableError("no")


@function(fn_id="steps", trigger=on("t/steps"))
async def steps(ctx: inngest.Context) -> dict[str, Any]:
    a = await ctx.step.run("a", one)
    b = await ctx.step.run("b", one)
    return {"a": a, "b": b}


@function(fn_id="retry", trigger=on("t/retry"), retries=2)
async def retry(ctx: inngest.Context) -> int:
    async def flaky() -> int:
        calls[ctx.run_id] += 1
        if calls[ctx.run_id] == 1:
            raise ValueError("boom 1")
        return calls[ctx.run_id]

    await ctx.step.run("first", one)
    return await ctx.step.run("flaky", flaky)


@function(fn_id="fail", trigger=on("t/fail"), retries=1)
async def fail(ctx: inngest.Context) -> None:
    await ctx.step.run("first", one)
    await ctx.step.run("boom", boom)


async def handle_failure(ctx: inngest.Context) -> str:
    await ctx.step.run("onfail", one)
    return "handled"


@function(fn_id="fail-onfailure", trigger=on("t/onfailure"), retries=0, on_failure=handle_failure)
async def fail_with_handler(ctx: inngest.Context) -> None:
    await ctx.step.run("boom", boom)


@function(fn_id="nonretriable", trigger=on("t/nonretriable"))
async def nonretriable(ctx: inngest.Context) -> dict[str, str] | None:
    try:
        await ctx.step.run("nr", refuse)
    except Exception as error:
        return {"caught": type(error).__name__, "msg": str(error)}
    return None


@function(fn_id="retryafter", trigger=on("t/retryafter"), retries=1)
async def retry_after(ctx: inngest.Context) -> str:
    async def later() -> str:
        calls[ctx.run_id] += 1
        if calls[ctx.run_id] == 1:
            raise inngest.RetryAfterError("later", seconds(seconds=3))
        return "ok"

    return await ctx.step.run("ra", later)


@function(fn_id="sleep", trigger=on("t/sleep"))
async def sleep(ctx: inngest.Context) -> str:
    await ctx.step.sleep("nap", seconds(seconds=2))
    return "awake"


@function(fn_id="wait", trigger=on("t/wait"))
async def wait(ctx: inngest.Context) -> Any:
    event = await ctx.step.wait_for_event(
        "w", event="t/go", timeout=seconds(seconds=6), if_exp="event.data.k == async.data.k"
    )
    return event.data if event else None


@function(fn_id="send", trigger=on("t/send"))
async def send(ctx: inngest.Context) -> list[str]:
    events = [inngest.Event(name="t/child", data={"i": i}, id=f"child-{ctx.run_id}-{i}") for i in range(3)]
    return await ctx.step.send_event("fan", events)


@function(fn_id="child", trigger=on("t/child"))
async def child(ctx: inngest.Context) -> Any:
    return ctx.event.data["i"]


@function(fn_id="callee", trigger=on("t/callee"))
async def callee(ctx: inngest.Context) -> dict[str, Any]:
    await ctx.step.run("c", one)
    return {"got": dict(ctx.event.data)}


@function(fn_id="invoke", trigger=on("t/invoke"))
async def invoke(ctx: inngest.Context) -> Any:
    return await ctx.step.invoke_by_id("inv", app_id="rec", function_id="callee", data={"x": 1})


@function(fn_id="parallel", trigger=on("t/parallel"))
async def parallel(ctx: inngest.Context) -> list[Any]:
    return list(await ctx.group.parallel((lambda: ctx.step.run("p1", one), lambda: ctx.step.run("p2", one))))


@function(fn_id="batch", trigger=on("t/batch"), batch_events=inngest.Batch(max_size=3, timeout=seconds(seconds=3)))
async def batch(ctx: inngest.Context) -> int:
    return len(ctx.events)


@function(fn_id="debounce", trigger=on("t/debounce"), debounce=inngest.Debounce(period=seconds(seconds=2)))
async def debounce(ctx: inngest.Context) -> Any:
    return ctx.event.data


@function(
    fn_id="ratelimit",
    trigger=on("t/ratelimit"),
    rate_limit=inngest.RateLimit(limit=1, period=seconds(seconds=60), key="event.data.k"),
)
async def rate_limit(ctx: inngest.Context) -> Any:
    return ctx.event.data


@function(fn_id="throttle", trigger=on("t/throttle"), throttle=inngest.Throttle(limit=2, period=seconds(seconds=4)))
async def throttle(ctx: inngest.Context) -> Any:
    return await ctx.step.run("t", one)


@function(fn_id="idem", trigger=on("t/idem"), idempotency="event.data.k")
async def idempotent(ctx: inngest.Context) -> Any:
    return ctx.event.data


@function(fn_id="single", trigger=on("t/single"), singleton=inngest.Singleton(mode="skip", key="event.data.k"))
async def single(ctx: inngest.Context) -> int:
    await ctx.step.sleep("s", seconds(seconds=3))
    return 1


@function(
    fn_id="cancelme",
    trigger=on("t/cancelme"),
    cancel=[inngest.Cancel(event="t/cancel", if_exp="event.data.k == async.data.k")],
)
async def cancel_me(ctx: inngest.Context) -> int:
    await ctx.step.sleep("s", seconds(seconds=30))
    return 1


@function(fn_id="timeouts", trigger=on("t/timeouts"), timeouts=inngest.Timeouts(finish=seconds(seconds=2)))
async def timeouts(ctx: inngest.Context) -> int:
    await ctx.step.sleep("s", seconds(seconds=30))
    return 1


@function(fn_id="cron", trigger=inngest.TriggerCron(cron="0 9 * * *"))
async def cron(ctx: inngest.Context) -> dict[str, Any]:
    return {"name": ctx.event.name, "data": dict(ctx.event.data), "id": ctx.event.id}


@function(fn_id="multi", trigger=[on("t/m1"), on("t/m2")])
async def multi(ctx: inngest.Context) -> str:
    return ctx.event.name


@function(fn_id="filtered", trigger=on("t/filtered", "event.data.n >= 4"))
async def filtered(ctx: inngest.Context) -> Any:
    return ctx.event.data


@function(
    fn_id="prio",
    trigger=on("t/prio"),
    concurrency=[inngest.Concurrency(limit=1)],
    priority=inngest.Priority(run="event.data.p"),
)
async def prio(ctx: inngest.Context) -> Any:
    async def work() -> Any:
        await asyncio.sleep(0.1)
        return ctx.event.data["p"]

    return await ctx.step.run("p", work)


@function(
    fn_id="conc",
    trigger=on("t/conc"),
    concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=1, key="event.data.k")],
)
async def conc(ctx: inngest.Context) -> Any:
    async def work() -> Any:
        await asyncio.sleep(0.1)
        return ctx.event.data["k"]

    return await ctx.step.run("c", work)


@function(fn_id="crash-fn", trigger=on("t/fnerr"), retries=1)
async def crash(_ctx: inngest.Context) -> None:
    raise ValueError("outside step")
