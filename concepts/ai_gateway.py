"""Beside the concepts: the engine calls the model.

The failure: the model thinks for two minutes. All that time a process of the app waits for it and has to be paid for,
and a deploy that ends the process loses the answer too.

The idea: `step.ai.infer` gives the prompt to the engine. The engine asks the model and calls the app again with the
answer, which it remembers like any step's result. Meanwhile no process of the app needs to run.

Use it rarely; concept 10 is the rule. The engine can read the prompt, the answer and the API key, even with the
encryption middleware (seen in inngest 0.5.19), and an agent with tools of its own cannot run there.
"""

import os
from typing import Any

import inngest
from inngest.experimental import ai

from concepts import outside
from concepts.private_texts import ENCRYPT
from concepts.shelf import client


@client.create_function(
    fn_id="ai-infer", trigger=inngest.TriggerEvent(event="concepts/ai_gateway.email"), middleware=[ENCRYPT]
)
async def through_the_engine(ctx: inngest.Context) -> str:
    """Let the engine ask the model, and send the answer to the customer.

    The model may be on any server that speaks as OpenAI's does and that the engine can reach.
    """
    adapter = ai.openai.Adapter(
        auth_key=os.environ.get("OPENAI_API_KEY", ""),
        base_url=os.environ.get("OPENAI_BASE_URL"),
        model=os.environ.get("MODEL", "gpt-5-mini"),
    )
    body = {"messages": [{"role": "user", "content": str(ctx.event.data["email_text"])}]}
    answer: dict[str, Any] = await ctx.step.ai.infer("write-reply", adapter=adapter, body=body)
    reply = str(answer["choices"][0]["message"]["content"])
    await ctx.step.run("send-reply", outside.send_mail, str(ctx.event.data["customer_id"]), reply)
    return reply
