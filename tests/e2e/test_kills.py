"""Killed at any moment, the app finishes by itself, and leaves exactly what an undisturbed run leaves.

A story is told once undisturbed, which shows how many points there are; then once for each point (or for a few of
them), with a SIGKILL there and a new process after it. How to have more of them, or one again: `matrix.py`.
"""

import pytest

from tests.e2e.conftest import Tell
from tests.e2e.matrix import MATRIX, survives
from tests.e2e.stage import Misfortune
from tests.e2e.stories import STORIES

pytestmark = MATRIX


@pytest.mark.parametrize("story", STORIES)
async def test_a_kill_leaves_what_an_undisturbed_run_leaves(tell: Tell, story: str) -> None:
    kinds = {"killed": Misfortune}
    await survives(tell, STORIES[story], kinds, samples=1)
