"""What the gates read in a build's source. Runs without anything."""

from pathlib import Path

import pytest

from gates import source
from gates.report import Advice

ROOT = Path(__file__).parents[2]
WRONG = {
    "async def f(ctx):\n    await asyncio.gather(ctx.step.run('a', a), ctx.step.run('b', b))": source.GATHERED,
    "async def f(ctx):\n    all = [ctx.step.run(n, a) for n in 'ab']\n    await gather(*all)": source.GATHERED,
    "async def f(ctx):\n    async def one(n): await step.run(n, a)\n    await gather(*map(one, m))": source.GATHERED,
    "async def f(ctx):\n    async with TaskGroup() as g: g.create_task(ctx.step.run('a', a))": source.GATHERED,
    "async def f():\n    time.sleep(3)": source.BLOCKS,
    "def slow(): time.sleep(3)\nasync def f(ctx): await ctx.step.run('slow', slow)": source.BLOCKS,
    "agent = SandboxAgent(name='support', tools=[])": source.SHELL,
    "agent = SandboxAgent(name='support', capabilities=Capabilities.default())": source.SHELL,
    "agent = Agent(name='support', tools=[LocalShellTool(executor=run)])": source.SHELL,
    "@function_tool\nasync def look_up(customer_id: str): ...": source.IDENTITY,
    "@function_tool(needs_approval=True)\ndef refund(order_id: str, customer_id: str): ...": source.IDENTITY,
    "async def rows():\n    async with asyncpg.create_pool(url) as pool: ...": source.POOL_PER_CALL,
    "async def rows():\n    pool = await create_pool(url)\n    await pool.close()": source.POOL_PER_CALL,
    "@client.create_function(trigger=TriggerEvent(event='inngest/function.failed'))\nasync def keep(ctx): ...": (
        source.HEARS_ALL
    ),
}
RIGHT = [
    "async def f():\n    await asyncio.gather(read(1), read(2))",
    "async def f():\n    await asyncio.sleep(3)",
    "agent = SandboxAgent(name='support', capabilities=[])",
    "@function_tool\nasync def look_up(context, order_id: str): ...",
    "async def lifespan(app):\n    async with asyncpg.create_pool(url) as pool: ...",
    "async def pool():\n    if url not in pools:\n        pools[url] = await create_pool(url)\n    return pools[url]",
    "async def f(ctx):\n    first = await ctx.step.run('a', a)\n    await asyncio.gather(read(first), read(2))",
    "def in_a_thread():\n    time.sleep(3)",
    "TriggerEvent(event='inngest/function.failed')\nmine = failed['function_id'] == 'my-app-answer-mail'",
    "this is not Python",
]


@pytest.mark.parametrize(("code", "advice"), WRONG.items())
def test_a_fault_is_found_with_its_file_and_line(code: str, advice: Advice, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "worker.py").write_text(code)
    ((where, found),) = source.faults(tmp_path)
    assert where.startswith("app/worker.py:")
    assert found == advice


@pytest.mark.parametrize("code", RIGHT)
def test_what_is_right_is_left_alone(code: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(code)
    assert source.faults(tmp_path) == []


def test_other_peoples_files_are_not_read(tmp_path: Path) -> None:
    for folder in (".venv", "tests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "worker.py").write_text(next(iter(WRONG)))
    assert source.faults(tmp_path) == []


def test_the_reference_has_none_of_these_faults() -> None:
    assert source.faults(ROOT) == []
