"""Beside the concepts: limits for each user, and one limit that several functions share.

The failure: every function has its own limit of ten calls, and all of them use the same model. Five functions make
fifty calls at once, and its provider refuses forty. Or one user clicks fifty times, and the others wait.

The idea: a key makes a limit of its own for each value of an expression. A scope says over what the limit counts: over
the function (`fn`, which is the default), over all functions of the environment (`env`) or of the account (`account`)
that name the same key. Such a key is usually a constant, as "'model'" is here. A function may have two limits.
"""

from typing import Any

import inngest

from concepts import outside
from concepts.shelf import client

# Four calls of the model at once, in all functions that name this limit.
MODEL = inngest.Concurrency(limit=4, key="'model'", scope="account")


async def place_order(order_id: str, user_id: str) -> None:
    """Send three events in one call, as a shop does when an order is placed. Each has an id made of the order."""
    data: dict[str, Any] = {"order_id": order_id, "user_id": user_id}
    names = ("order/placed", "inventory/reserved", "notification/send")
    await client.send([inngest.Event(name=name, id=f"{name}-{order_id}", data=data) for name in names])


@client.create_function(
    fn_id="api/process-order",
    trigger=inngest.TriggerEvent(event="order/placed"),
    concurrency=[inngest.Concurrency(limit=10)],
)
async def process_order(ctx: inngest.Context) -> None:
    """Ten orders are processed at once."""
    await ctx.step.run("process", outside.write_answer, "orders", ctx.event.data["order_id"])


@client.create_function(
    fn_id="api/user-action",
    trigger=inngest.TriggerEvent(event="user/action"),
    concurrency=[inngest.Concurrency(limit=3, key="event.data.user_id")],
)
async def handle_user_action(ctx: inngest.Context) -> None:
    """Three actions of each user at once."""
    await ctx.step.run("act", outside.write_answer, str(ctx.event.data["user_id"]), "action")


@client.create_function(
    fn_id="api/send-notification",
    trigger=inngest.TriggerEvent(event="notification/send"),
    concurrency=[inngest.Concurrency(limit=100), inngest.Concurrency(limit=5, key="event.data.user_id")],
)
async def send_notification(ctx: inngest.Context) -> None:
    """A hundred notifications at once, and five to each user."""
    await ctx.step.run("send", outside.write_answer, str(ctx.event.data["user_id"]), "notification")


@client.create_function(
    fn_id="ask-for-a-summary", trigger=inngest.TriggerEvent(event="concepts/shared_limits.summary"), concurrency=[MODEL]
)
async def ask_for_a_summary(ctx: inngest.Context) -> None:
    """The first of two functions that share the model."""
    await ctx.step.run("ask", outside.write_answer, "summaries", "summary")


@client.create_function(
    fn_id="ask-for-a-translation",
    trigger=inngest.TriggerEvent(event="concepts/shared_limits.translation"),
    concurrency=[MODEL],
)
async def ask_for_a_translation(ctx: inngest.Context) -> None:
    """The second one."""
    await ctx.step.run("ask", outside.write_answer, "translations", "translation")
