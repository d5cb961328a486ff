"""The learner's build on its way: right after D1 and right after D2, with nothing of what comes later."""

import fastapi
import inngest
import inngest.fast_api

from tests.wrong_builds.learner import log_in, log_out
from tests.wrong_builds.worker import think


def after_d1() -> fastapi.FastAPI:
    """The agent's run is a step. No event wakes the function, and nothing is recorded."""
    client = inngest.Inngest(app_id="my-worker", is_production=False)

    @client.create_function(fn_id="answer-mail", trigger=[])
    async def answer_mail(ctx: inngest.Context) -> str:
        who = {"customer_id": str(ctx.event.data["customer_id"]), "run_id": ctx.run_id}
        outcome = await ctx.step.run("think", think, str(ctx.event.data["email_text"]), who)
        return str(outcome["reply"])

    return served(client, answer_mail)


def after_d2() -> fastapi.FastAPI:
    """An event wakes it, and a row is written on either side of the agent. A refund is left to a colleague."""
    client = inngest.Inngest(app_id="my-worker", is_production=False)

    @client.create_function(fn_id="answer-mail", trigger=inngest.TriggerEvent(event="customer/email.received"))
    async def answer_mail(ctx: inngest.Context) -> str:
        who = {"customer_id": str(ctx.event.data["customer_id"]), "run_id": ctx.run_id}
        await ctx.step.run("log-in", log_in, who)
        outcome = await ctx.step.run("think", think, str(ctx.event.data["email_text"]), who)
        reply = str(outcome["reply"] or "A colleague will answer you.")
        await ctx.step.run("log-out", log_out, who, reply)
        return reply

    return served(client, answer_mail)


def served(client: inngest.Inngest, handler: inngest.Function[str]) -> fastapi.FastAPI:
    """An app of this one function."""
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [handler])
    return app
