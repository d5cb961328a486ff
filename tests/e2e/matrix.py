"""Chooses where a misfortune strikes, tells the story with it, and compares what is left with an undisturbed telling.

SEED chooses (default 1). SAMPLES is how many tellings there are per story and test, or `all` (with
`--timeout 3600`, as more than a few take longer than a test may). AT=7 or AT=7:late is just that one.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.durable.driver import OFFICIAL
from tests.e2e.conftest import UNDISTURBED, Tell
from tests.e2e.stage import Misfortune, Story

Kind = Callable[[int], Misfortune]
SEED = os.environ.get("SEED") or "1"
MATRIX = pytest.mark.skipif(
    bool(OFFICIAL) and "SAMPLES" not in os.environ,
    reason="every misfortune costs a real retry delay on the official server: say SAMPLES=1",
)


def chosen(names: Sequence[str], kinds: Sequence[str], story: str, samples: int) -> list[tuple[int, str]]:
    """Which points, with which kind of misfortune: every name once before any comes a second time."""
    if "AT" in os.environ:
        number, _, name = os.environ["AT"].partition(":")
        return [(int(number), name or kinds[0])]
    everything = [(at, kind) for at in range(len(names)) for kind in kinds]
    random.Random(f"{SEED} {story} {kinds}").shuffle(everything)
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for at, kind in everything:
        turns.append((seen[names[at], kind], at, kind))
        seen[names[at], kind] += 1
    turns.sort(key=lambda turn: turn[0])
    everything = [(at, kind) for _, at, kind in turns]
    wanted = os.environ.get("SAMPLES", str(samples))
    return everything if wanted == "all" else everything[: int(wanted)]


def difference(undisturbed: dict[str, Any], left: dict[str, Any]) -> str:
    """The rows that are on one side only."""
    lines = []
    for name, rows in undisturbed.items():
        lines += [f"{name}: missing {row}" for row in rows if row not in left[name]]
        lines += [f"{name}: instead {row}" for row in left[name] if row not in rows]
    return "\n".join(lines) or "the same rows in another order or number"


async def survives(tell: Tell, story: Story, kinds: Mapping[str, Kind], samples: int, *, calls: bool = False) -> None:
    """Assert that the story, told with each chosen misfortune, leaves what it leaves without."""
    undisturbed = await tell(story, UNDISTURBED)
    names = undisturbed.calls if calls else undisturbed.points
    assert names, "nothing happened"
    for at, kind in chosen(names, list(kinds), story.name, samples):
        where = names[at] if at < len(names) else "unknown"
        test = os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0]
        again = f"SEED={SEED} AT='{at}:{kind}' python -m pytest '{test}'"
        replay = f"{story.name}, {kind} at {at} of {len(names)} ({where}); again: {again}"
        try:
            telling = await tell(story, kinds[kind](at))
        except Exception as error:
            raise AssertionError(replay) from error
        assert telling.left == undisturbed.left, f"{replay}\n{difference(undisturbed.left, telling.left)}"
        assert telling.struck, f"it did not happen: {replay}"
