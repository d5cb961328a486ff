"""Beside the concepts: realtime, the progress of a run on a page.

The failure: the customer asks, and a spinner turns for a minute while the agent works. Every customer's page asks the
server once a second whether the answer is there. Nobody sees whether anything happens, and half of the customers reload
the page and ask again.

The idea: the run publishes what it is doing to a channel, and the engine passes it on to the pages that listen, over a
WebSocket with a token for that one channel. Each message is a step of its own, so it is sent once and not at every call
of the function. Nothing is stored, so the page listens first and asks afterwards. Only the run's result counts: a
message that cannot be published is left out.

Open /realtime on the shelf's port. A channel has a secret name made for one page: whoever knows the name may listen.
"""

import secrets
from pathlib import Path
from urllib.parse import urlencode

import fastapi
import inngest
from inngest.experimental import realtime

from concepts import outside
from concepts.shelf import client

router = fastapi.APIRouter(prefix="/realtime")
TOPIC = "progress"


async def tell(page: str, percent: int, text: str) -> bool:
    """Publish progress to the page. Returns whether that worked; it never raises, since the answer matters more."""
    try:
        await realtime.publish(client, f"page:{page}", TOPIC, {"percent": percent, "text": text})
    except Exception as error:
        client.logger.warning("No progress to a page: %s", error)
        return False
    return True


@client.create_function(fn_id="realtime-answer", trigger=inngest.TriggerEvent(event="concepts/realtime.question"))
async def answer(ctx: inngest.Context) -> str:
    """Answer in two steps, and tell the page before, between and after them."""
    page, question = str(ctx.event.data["page"]), str(ctx.event.data["question"])
    await ctx.step.run("tell-reading", tell, page, 10, "Reading your question")
    draft = await ctx.step.run("draft", outside.ask_model, question)
    await ctx.step.run("tell-checking", tell, page, 60, "Checking what I wrote")
    reply = await ctx.step.run("check", outside.ask_model, f"Is this right? {draft}")
    await ctx.step.run("tell-done", tell, page, 100, reply)
    return reply


@client.create_function(fn_id="realtime-wrong", trigger=inngest.TriggerEvent(event="concepts/realtime.between_steps"))
async def told_between_steps(ctx: inngest.Context) -> str:
    """The failure: messages outside the steps are published again at every call of the function."""
    page, question = str(ctx.event.data["page"]), str(ctx.event.data["question"])
    await tell(page, 10, "Reading your question")
    reply = await ctx.step.run("draft", outside.ask_model, question)
    await tell(page, 100, reply)
    return reply


@router.get("", response_class=fastapi.responses.HTMLResponse)
async def show() -> str:
    """Serve the page."""
    return Path(__file__).with_suffix(".html").read_text()


@router.post("/pages")
async def listen() -> dict[str, str]:
    """Make a channel for one page. Returns its secret name and the address to listen at, good for one minute."""
    page = secrets.token_urlsafe()
    token = (await realtime.get_subscription_token(client, f"page:{page}", [TOPIC]))["key"]
    url = f"{client.api_origin}/v1/realtime/connect?{urlencode({'token': token})}"
    return {"page": page, "socket": url.replace("http", "ws", 1)}


@router.post("/pages/{page}/questions")
async def ask(page: str, question: str = fastapi.Body(embed=True)) -> None:
    """Ask a question. The answer comes over the channel."""
    await client.send(inngest.Event(name="concepts/realtime.question", data={"page": page, "question": question}))
