"""A run that is too large ends as it does on the official server: 4 MB a step, 32 MB and 1,000 steps a run."""

from functools import partial
from typing import Any

import inngest
import pytest

from offline.inngest_server.core import executor
from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note


async def run_of(world: World, outputs: list[Any], *, parallel: bool = False) -> tuple[RunStatus, Any]:
    """Run a function whose steps return `outputs`, and return how the run ended."""

    @world.on("go", "handler", retries=0)
    async def handler(ctx: inngest.Context) -> str:
        steps = [partial(ctx.step.run, f"step-{number}", note([], "", out)) for number, out in enumerate(outputs)]
        if parallel:
            await ctx.group.parallel(tuple(steps))
        else:
            for step in steps:
                await step()
        return "done"

    await world.start()
    await world.sent("go")
    run = world.run("handler")
    return run.status, run.output


async def test_a_run_within_the_limits_completes(world: World) -> None:
    assert await run_of(world, ["x" * 1_000_000] * 3) == (RunStatus.COMPLETED, "done")


async def test_a_step_may_not_return_more_than_4_mb(world: World) -> None:
    status, error = await run_of(world, ["x" * (4 * 1024 * 1024)])
    assert (status, error["message"]) == (RunStatus.FAILED, "step output size is greater than the limit")


async def test_a_run_may_not_return_more_than_32_mb(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert executor.MAX_STATE_BYTES == 32 * 1024 * 1024
    monkeypatch.setattr(executor, "MAX_STATE_BYTES", 25)
    status, error = await run_of(world, ["x" * 10] * 3)
    assert status is RunStatus.FAILED
    message = "The function run exceeded the state size limit of 25 bytes."
    assert error == {
        "error": f"InngestErrStateOverflowed: {message}",
        "name": "InngestErrStateOverflowed",
        "message": message,
    }


@pytest.mark.parametrize("parallel", [True, False])
async def test_a_run_may_not_have_more_than_1000_steps(
    world: World, monkeypatch: pytest.MonkeyPatch, parallel: bool
) -> None:
    assert executor.MAX_STEPS == 1_000
    monkeypatch.setattr(executor, "MAX_STEPS", 3)
    status, error = await run_of(world, [1, 2, 3, 4], parallel=parallel)
    assert status is RunStatus.FAILED
    assert error == {
        "error": "function has too many steps",
        "name": "InngestErrFunctionOverflowed",
        "message": "The function run exceeded the step limit of 3 steps.",
    }
