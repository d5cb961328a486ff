"""Tells stories, from an empty database each, and gives whole programs a temporary folder."""

import asyncio
import os
import pickle
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias, cast

import pytest

from offline.postgres import EmbeddedPostgres
from tests.durable.driver import OFFICIAL
from tests.e2e.programs import processes_of
from tests.e2e.stage import Misfortune, Stage, Story, Telling
from tests.ledger import forget_everything

Tell: TypeAlias = Callable[[Story, Misfortune], Awaitable[Telling]]
UNDISTURBED = Misfortune()
# The retries of the official server take real time.
TELLING_SECONDS = None if OFFICIAL else 80


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what undisturbed tellings came to. The processes of a session share it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture
async def tell(database: None, postgres: EmbeddedPostgres, told: Path, tmp_path: Path) -> Tell:
    """Tells a story; an undisturbed one once per session."""

    async def tell(story: Story, misfortune: Misfortune) -> Telling:
        if OFFICIAL and story.takes_hours:
            pytest.skip("the official server's clock cannot be moved")
        kept = told / f"{story.name}.telling"
        if misfortune == UNDISTURBED and kept.exists():
            return cast(Telling, pickle.loads(kept.read_bytes()))  # noqa: S301
        await forget_everything()
        async with Stage(postgres, tmp_path, misfortune, story) as stage, asyncio.timeout(TELLING_SECONDS):
            await story.tell(stage)
            telling = await stage.end()
        if misfortune == UNDISTURBED:
            # Nobody finds half a file.
            written = tmp_path / kept.name
            written.write_bytes(pickle.dumps(telling))
            written.replace(kept)
        return telling

    return tell


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A program's temporary folder, by which its processes and what it leaves behind are known."""
    folder = tmp_path_factory.mktemp("demo")
    # Postgres runs as another user when the test runs as root.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    folder.chmod(0o777)
    yield folder
    for process in processes_of(folder):
        process.kill()
