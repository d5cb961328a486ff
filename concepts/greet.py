"""Beside the concepts: the Quick Win, two steps with a sleep between them.

The failure: a script greets a customer, waits and says goodbye. It dies while it waits, or the goodbye fails; started
again, it greets the customer a second time.

The idea: a step that is done stays done. Restart the shelf with BREAK=farewell, send the event and look at the run:
`greeting` has one attempt, and `farewell` has more and more. Restart the shelf without BREAK before the fifth attempt
has failed, which takes about five minutes, and the same run says goodbye and completes. While the run sleeps or waits
for its next attempt, no process has to run; the machine may be switched off.

If the environment names a model (OPENAI_API_KEY or MODEL_PROVIDER), an agent with one line of instructions greets.
"""

import os
from datetime import timedelta
from pkgutil import resolve_name

import inngest
from agents import Agent, MultiProvider, RunConfig, Runner

from concepts import outside
from concepts.shelf import client

# .env.example has the second one as a placeholder.
NO_KEY = ("", "sk-...")


async def greet(name: str) -> str:
    """Greet somebody, in the model's words if there is a model. Returns the greeting."""
    provider = os.environ.get("MODEL_PROVIDER")
    if provider or os.environ.get("OPENAI_API_KEY", "") not in NO_KEY:
        agent = Agent(name="greeter", instructions="Greet the customer in one warm sentence.")
        model_provider = resolve_name(provider)() if provider else MultiProvider()
        config = RunConfig(model=os.environ.get("MODEL") or None, model_provider=model_provider, tracing_disabled=True)
        greeting = str((await Runner.run(agent, f"I am {name}.", run_config=config)).final_output)
    else:
        greeting = f"Hello {name}!"
    await outside.send_mail(name, greeting)
    return greeting


async def say_goodbye(name: str) -> str:
    """Say goodbye, or raise RuntimeError if it is broken on purpose. Returns the farewell."""
    if os.environ.get("BREAK") == "farewell":
        raise RuntimeError("Broken on purpose: restart without BREAK=farewell")
    farewell = f"Goodbye {name}!"
    await outside.send_mail(name, farewell)
    return farewell


@client.create_function(fn_id="greet-customer", trigger=inngest.TriggerEvent(event="demo/greet"))
async def greet_customer(ctx: inngest.Context) -> dict[str, str]:
    """Greet, sleep for fifteen seconds and say goodbye. Returns both texts."""
    name = str(ctx.event.data["name"])
    greeting = await ctx.step.run("greeting", greet, name)
    await ctx.step.sleep("pause", timedelta(seconds=15))
    farewell = await ctx.step.run("farewell", say_goodbye, name)
    return {"greeting": greeting, "farewell": farewell}
