"""What the gates read in a build's source. Runs without anything."""

from pathlib import Path

import pytest

from gates import source
from gates.report import Advice

ROOT = Path(__file__).parents[2]
WRONG = {
    "async def f(ctx):\n    await asyncio.gather(ctx.step.run('a', a), ctx.step.run('b', b))": source.GATHERED,
    "async def f():\n    time.sleep(3)": source.BLOCKS,
    "agent = SandboxAgent(name='support', tools=[])": source.SHELL,
    "@function_tool\nasync def look_up(customer_id: str): ...": source.IDENTITY,
    "async def rows():\n    async with asyncpg.create_pool(url) as pool: ...": source.POOL_PER_CALL,
}
RIGHT = [
    "async def f():\n    await asyncio.gather(read(1), read(2))",
    "async def f():\n    await asyncio.sleep(3)",
    "agent = SandboxAgent(name='support', capabilities=[])",
    "@function_tool\nasync def look_up(context, order_id: str): ...",
    "async def lifespan(app):\n    async with asyncpg.create_pool(url) as pool: ...",
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
