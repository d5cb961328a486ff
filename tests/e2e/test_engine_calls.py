"""Whatever the network does to the engine's calls, a story ends as it ends undisturbed.

A proxy between the engine and the app loses, doubles or delays one call.
"""

from typing import get_args

import pytest

from tests.e2e.conftest import Tell
from tests.e2e.matrix import MATRIX, Kind, survives
from tests.e2e.proxy import Held, How, Mishap
from tests.e2e.stage import Misfortune
from tests.e2e.stories import STORIES

pytestmark = MATRIX


def misfortune(how: How, after: int = 1) -> Kind:
    return lambda at: Misfortune(mishap=Mishap(at, how, after))


AT_THE_END = 10_000
KINDS: dict[str, Kind] = {how: misfortune(how) for how in get_args(How)}
KINDS |= {f"{how} by {n}": misfortune(how, n) for how in get_args(Held) for n in (2, 3, 4, AT_THE_END)}


@pytest.mark.parametrize("story", STORIES)
async def test_a_call_gone_wrong_leaves_what_an_undisturbed_run_leaves(tell: Tell, story: str) -> None:
    await survives(tell, STORIES[story], KINDS, samples=1, calls=True)
