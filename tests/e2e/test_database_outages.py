"""Whatever the database does, and whenever, a story ends by itself as it ends undisturbed.

The app stands still at a point while something happens to the database, then goes on with what it finds.
"""

import asyncio

import pytest

import db
from tests.e2e.conftest import Tell
from tests.e2e.matrix import MATRIX, Kind, survives
from tests.e2e.stage import Misfortune, Stage, Strike, patiently
from tests.e2e.stories import STORIES

pytestmark = MATRIX


async def stopped(stage: Stage) -> None:
    """The server is away until the app has noticed, and comes back from a crash."""
    stage.postgres.halt(immediate=True)
    stage.go_on()
    await stage.engine.settle()
    stage.postgres.restart()


async def restarted(stage: Stage) -> None:
    """The server crashes and is back before the app goes on."""
    stage.postgres.restart(immediate=True)
    stage.go_on()


async def cut(stage: Stage) -> None:
    """All connections are ended."""
    await patiently(
        lambda: db.fetch("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    )
    stage.go_on()


async def hung(stage: Stage) -> None:
    """The server keeps all connections and answers nothing, for longer than the app waits for a query."""
    stage.postgres.pause()
    stage.go_on()
    await asyncio.sleep(1.5)
    stage.postgres.resume()


def misfortune(strike: Strike) -> Kind:
    return lambda at: Misfortune(at, strike, query_seconds=0.5 if strike is hung else 15)


KINDS = {"stopped": misfortune(stopped), "restarted": misfortune(restarted), "cut": misfortune(cut)}
KINDS["hung"] = misfortune(hung)


@pytest.mark.parametrize("story", STORIES)
async def test_an_outage_leaves_what_an_undisturbed_run_leaves(tell: Tell, story: str) -> None:
    await survives(tell, STORIES[story], KINDS, samples=1)
