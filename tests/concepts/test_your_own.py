"""How to test functions of your own, as docs/testing.md says: without an engine, and on one whose clock moves.

Runs without a database, a model or a network.
"""

import re
import subprocess
import sys
from pathlib import Path

import inngest
import pytest
from inngest.experimental import mocked
from pydantic import BaseModel

from concepts import outside, sleep_and_wait
from tests.concepts.shelf import Shelf

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.S)
CLIENT = mocked.Inngest(app_id="test")


@pytest.mark.parametrize("block", BLOCKS, ids=["without-an-engine", "on-the-stand-in"])
def test_what_the_page_shows_runs_as_printed(block: str, tmp_path: Path) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    # An installed package brings the plugin by itself.
    command += ["-p", "offline.pytest_plugin"]
    done = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_step_is_replaced_by_what_it_would_return() -> None:
    event = inngest.Event(name="user/trial.started", data={"user_id": "user_1"})
    stubs: dict[str, object] = {"send-welcome-email": None, "send-followup": None}
    result = mocked.trigger(sleep_and_wait.welcome_series, event, CLIENT, step_stubs=stubs)
    assert (result.output, outside.calls) == ({"status": "completed"}, [])


async def test_on_an_engine_three_days_pass_at_once(shelf: Shelf) -> None:
    await shelf.send("user/trial.started", {"user_id": "user_1"})
    await shelf.asked("send_mail", 1)
    await shelf.advance(days=3, seconds=1)
    await shelf.asked("send_mail", 2)


class Draft(BaseModel):
    """What a step returns when plain dicts are not enough."""

    text: str
    confidence: float


def test_a_pydantic_serializer_gives_a_step_back_as_the_class_that_it_returned() -> None:
    client = mocked.Inngest(app_id="typed", serializer=inngest.PydanticSerializer())

    async def write() -> Draft:
        return Draft(text="Hello", confidence=0.9)

    @client.create_function(fn_id="typed", trigger=inngest.TriggerEvent(event="typed"))
    async def typed(ctx: inngest.Context) -> str:
        draft = await ctx.step.run("write", write, output_type=Draft)
        return draft.text

    result = mocked.trigger(typed, inngest.Event(name="typed"), client)
    assert result.output == "Hello"
