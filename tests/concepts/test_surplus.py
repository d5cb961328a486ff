"""Rate limit, debounce and singleton proven by what was executed. Runs without a database, a model or a network."""

from uuid import uuid4

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf


async def save(shelf: Shelf, document_id: str, *versions: int) -> None:
    for version in versions:
        data = {"document_id": document_id, "version": version}
        await shelf.send("concepts/surplus.document-saved", data)
        # The official server keeps no order among events that come at the same moment.
        await shelf.settle()


async def told(shelf: Shelf, *expected: str) -> None:
    """Wait until the team was told of this, and of nothing else that begins with the same word."""

    def so_far() -> list[str]:
        return sorted(text for text in outside.asked("tell_team") if text.split()[0] == expected[0].split()[0])

    await shelf.until(lambda: len(so_far()) >= len(expected))
    await shelf.settle()
    assert so_far() == sorted(expected)


@pytest.mark.conformance("Flow control", "A rate limit drops what is too much.")
async def test_a_rate_limit_takes_the_first_and_drops_the_others_without_a_run(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await told(shelf, "announced version 1")
    await shelf.past(seconds=61)
    assert len(await shelf.runs("announce-once-a-minute")) == 1, "dropped, not delayed"


async def test_a_rate_limit_takes_one_more_when_its_period_is_over(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    for _ in range(2):
        await save(shelf, plan, 1, 2, 3)
        await shelf.advance(seconds=61)
    await told(shelf, *["announced version 1"] * 2)


@pytest.mark.conformance("Flow control", "A debounce waits for quiet and keeps the last event.")
async def test_a_debounce_merges_a_burst_into_one_run_with_the_last_event(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=7)
    assert await shelf.runs("index-after-quiet") == []
    await save(shelf, plan, 4, 5, 6)
    await shelf.past(seconds=7)
    assert await shelf.runs("index-after-quiet") == []
    await shelf.past(seconds=4)
    await told(shelf, "indexed version 6")


@pytest.mark.conformance("Flow control", "A singleton skips what comes while it runs.")
async def test_a_singleton_skips_what_comes_while_it_runs(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=11)
    await told(shelf, "imported version 1")


@pytest.mark.conformance("Flow control", "A singleton in cancel mode lets only the newest run finish.")
async def test_a_singleton_in_cancel_mode_lets_only_the_newest_finish(shelf: Shelf) -> None:
    plan = f"plan-{uuid4()}"
    await save(shelf, plan, 1, 2, 3)
    await shelf.past(seconds=11)
    await told(shelf, "exported version 3")
    assert len(await shelf.runs("export-the-newest", "CANCELLED")) == 2


@pytest.mark.conformance("Flow control", "Rate limit, debounce and singleton count each key by itself.")
async def test_each_document_is_limited_merged_and_replaced_by_itself(shelf: Shelf) -> None:
    for document_id in (f"plan-{uuid4()}", f"report-{uuid4()}"):
        await save(shelf, document_id, 1, 2, 3)
    await shelf.past(seconds=12)
    for outcome in ("announced version 1", "indexed version 3", "imported version 1", "exported version 3"):
        await told(shelf, *[outcome] * 2)


@pytest.mark.conformance("Flow control", "A debounce gives up waiting at its timeout.")
async def test_a_debounce_does_not_wait_for_ever_for_a_quiet_moment(shelf: Shelf) -> None:
    """Saved every eight seconds, it is never quiet for ten; after 30 the newest version is indexed all the same."""
    plan = f"plan-{uuid4()}"
    for version in range(1, 5):
        await save(shelf, plan, version)
        await shelf.past(seconds=8)
    await told(shelf, "indexed version 4")
