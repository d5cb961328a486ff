"""Beside the concepts: the engine calls the model.

The failure: the model thinks for two minutes. All that time a process of the app waits for it and is paid for, and the
deploy that ends the process ends the answer too.

The idea: `step.ai.infer` gives the prompt to the engine, which asks the model and calls the app again with the answer.
Meanwhile nothing of the app runs; it may be killed. The answer is remembered as a step's.

It is the exception, concept 10 the rule: prompt, answer and API key are the engine's to read, with or without the
encryption middleware (seen in inngest 0.5.19), and an agent with tools of its own cannot run there.
"""

import os
from typing import Any

import inngest
from inngest.experimental import ai
from inngest_encryption import EncryptionMiddleware

from concepts import outside
from concepts.ai_calls import KEY
from concepts.shelf import client


@client.create_function(
    fn_id="ai-infer",
    trigger=inngest.TriggerEvent(event="concepts/ai_calls.infer"),
    middleware=[EncryptionMiddleware.factory(KEY)],
)
async def through_the_engine(ctx: inngest.Context) -> str:
    """The exception: any OpenAI-compatible server, called by the engine."""
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
