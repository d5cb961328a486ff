"""Beside the concepts: the Quick Win, two steps with a sleep between them.

The failure: a script greets, waits and says goodbye. It dies while it waits, or the goodbye fails; whoever starts it
again greets the customer a second time.

The idea: what is done stays done. Restart with BREAK=farewell and send the event: `greeting` has one attempt beside the
many of `farewell`. Restart without it before the fifth and last has failed, within about five minutes: the same run
says goodbye and is complete. While it sleeps or waits for its next attempt, no process does; the machine may be off.

With a model in the environment (OPENAI_API_KEY, or a MODEL_PROVIDER) an agent of one line writes the greeting.
"""

import os
from datetime import timedelta
from pkgutil import resolve_name

import inngest
from agents import Agent, MultiProvider, RunConfig, Runner

from concepts import outside
from concepts.shelf import client

# The second one is the placeholder of .env.example.
NO_KEY = {"", "sk-..."}


async def greet(name: str) -> str:
    """Greet somebody, in the model's words if there is a model."""
    provider = os.environ.get("MODEL_PROVIDER")
    if provider or os.environ.get("OPENAI_API_KEY", "") not in NO_KEY:
        agent = Agent(name="greeter", instructions="Greet the customer in one warm sentence.")
        model = resolve_name(provider)() if provider else MultiProvider()
        config = RunConfig(model=os.environ.get("MODEL") or None, model_provider=model, tracing_disabled=True)
        greeting = str((await Runner.run(agent, f"I am {name}.", run_config=config)).final_output)
    else:
        greeting = f"Hello {name}!"
    await outside.send_mail(name, greeting)
    return greeting


async def say_goodbye(name: str) -> str:
    """Say goodbye, unless it is to be broken. BREAK is read at every attempt, so a restart heals it."""
    if os.environ.get("BREAK") == "farewell":
        raise RuntimeError("Broken on purpose: restart without BREAK=farewell")
    await outside.send_mail(name, farewell := f"Goodbye {name}!")
    return farewell


@client.create_function(fn_id="greet-customer", trigger=inngest.TriggerEvent(event="demo/greet"))
async def greet_customer(ctx: inngest.Context) -> list[str]:
    """Greet, sleep for fifteen seconds, say goodbye. Returns both."""
    name = str(ctx.event.data["name"])
    greeting = await ctx.step.run("greeting", greet, name)
    await ctx.step.sleep("pause", timedelta(seconds=15))
    return [greeting, await ctx.step.run("farewell", say_goodbye, name)]
