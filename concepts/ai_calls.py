"""Concept 10: AI calls.

The failure: the summary is written, the team's chat is down for a moment, and the retry pays for the whole agent again.

The idea: the agent's run is one `step.run`, so nothing that comes later repeats it. (`step.ai.wrap` exists in
TypeScript only; `step.ai.infer` is for single calls and is shown in `ai_gateway.py`.) If its own retry costs too much,
make each turn a step: when the last of four turns fails once, 8 calls with 174 tokens become 5 calls with 119.

The engine keeps what steps return and shows it in its dashboard; `private_texts.py` keeps customers' texts out of it.
The dashboard does not show prompts and tokens by themselves; the Agents SDK's own tracing does.
"""

import inngest

from concepts import outside
from concepts.shelf import client

TURNS = ("Classify the thread.", "Name what to look up.", "Draft a summary.", "Check the summary against the rules.")


async def turn(said: list[str], task: str) -> str:
    """Take one turn of the agent, which reads all that was said. Returns the answer without the repeated question."""
    answer = await outside.ask_model("\n".join([*said, task]))
    return answer.partition(" to:")[0]


async def run_agent(thread: str) -> dict[str, str]:
    """Take all turns. Returns the summary, in a dict because the result of a step has to be JSON."""
    said = [thread]
    for task in TURNS:
        said += [task, await turn(said, task)]
    return {"summary": said[-1]}


@client.create_function(
    fn_id="summarize-customer-thread", trigger=inngest.TriggerEvent(event="customer/thread.summary_requested")
)
async def summarize_thread(ctx: inngest.Context) -> dict[str, str]:
    """The rule: the agent's run, with all its calls of models and tools, is one step."""
    thread = await ctx.step.run("load-thread", outside.read_mail, str(ctx.event.data["thread_id"]))
    result = await ctx.step.run("run-agent", run_agent, thread)
    await ctx.step.run("post-summary", outside.tell_team, result["summary"])
    return {"summary": result["summary"]}


@client.create_function(fn_id="summarize-step-by-step", trigger=inngest.TriggerEvent(event="concepts/ai_calls.long"))
async def step_by_step(ctx: inngest.Context) -> dict[str, str]:
    """For a long run: each turn is a step."""
    said = [await ctx.step.run("load-thread", outside.read_mail, str(ctx.event.data["thread_id"]))]
    for number, task in enumerate(TURNS):
        said += [task, await ctx.step.run(f"turn-{number}", turn, said, task)]
    await ctx.step.run("post-summary", outside.tell_team, said[-1])
    return {"summary": said[-1]}
