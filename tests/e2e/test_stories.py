"""The stories leave nothing out: told once each, they pass every step that stands in the functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durable.driver import OFFICIAL
from tests.e2e.conftest import UNDISTURBED, Tell
from tests.e2e.stories import STORIES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="the stories skip time")


def steps_in(source: str) -> Iterator[str]:
    """The ids of all steps: what follows `ctx.step.<method>`, or is its first argument. A number after it may vary."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        for before, step_id in zip([call.func, *call.args], call.args, strict=False):
            if isinstance(before, ast.Attribute) and ast.unparse(before.value) == "ctx.step":
                constant = step_id.values[0] if isinstance(step_id, ast.JoinedStr) else step_id
                assert isinstance(constant, ast.Constant), f"a step without a name: {ast.unparse(call)}"
                yield str(constant.value)


def functions_in(source: str) -> set[str]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    keywords = (keyword for call in calls for keyword in call.keywords if keyword.arg == "fn_id")
    return {str(keyword.value.value) for keyword in keywords if isinstance(keyword.value, ast.Constant)}


@pytest.mark.timeout(300)
async def test_every_step_of_every_function_has_a_story(tell: Tell) -> None:
    source = "".join(path.read_text() for path in [ROOT / "inngest_app.py", *sorted((ROOT / "steps").glob("*.py"))])
    seen = {step for story in STORIES.values() for step in (await tell(story, UNDISTURBED)).steps}
    seen_steps = {step.partition(": ")[2] for step in seen}
    known = set(steps_in(source))
    assert len(known) > 10
    assert {step for step in known if step not in seen_steps} == set()
    unknown = {step for step in seen_steps if step not in known and step.rstrip("-0123456789") not in known}
    assert unknown == set(), "the engine saw steps that were not found in the source"
    assert {step.partition(": ")[0] for step in seen} == functions_in(source)
