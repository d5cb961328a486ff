"""Tells stories, from an empty database each."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from offline.postgres import EmbeddedPostgres
from tests.durable.driver import OFFICIAL
from tests.e2e.stage import Misfortune, Stage, Story, Telling
from tests.ledger import rewrite

Tell: TypeAlias = Callable[[Story, Misfortune], Awaitable[Telling]]
UNDISTURBED = Misfortune()
told: dict[str, Telling] = {}


@pytest.fixture
async def tell(database: None, postgres: EmbeddedPostgres, tmp_path: Path) -> Tell:
    """Tells a story; an undisturbed one once per session."""

    async def tell(story: Story, misfortune: Misfortune) -> Telling:
        if OFFICIAL and story.takes_hours:
            pytest.skip("the official server's clock cannot be moved")
        if misfortune == UNDISTURBED and story.name in told:
            return told[story.name]
        await rewrite("truncate audit_log, refunds, refund_history restart identity")
        async with Stage(postgres, tmp_path, misfortune, story.model) as stage:
            await story.tell(stage)
            telling = await stage.end()
        if misfortune == UNDISTURBED:
            told[story.name] = telling
        return telling

    return tell
