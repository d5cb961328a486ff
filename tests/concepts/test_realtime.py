"""Progress on a page, proven by what the page is sent. Runs without a database, a model or a network."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from inngest.experimental import realtime
from websockets.asyncio.client import connect

from tests.concepts.shelf import Shelf

QUESTION = "Where is my order?"


class Page:
    """What the page's script does."""

    def __init__(self, shelf_url: str, name: str) -> None:
        self.url = f"{shelf_url}/realtime/pages/{name}/questions"
        self.name = name
        self.told: list[tuple[int, str]] = []

    async def ask(self) -> None:
        async with httpx.AsyncClient() as http:
            (await http.post(self.url, json={"question": QUESTION})).raise_for_status()


@asynccontextmanager
async def open_page(shelf_url: str) -> AsyncIterator[Page]:
    async with httpx.AsyncClient() as http:
        answer = (await http.post(f"{shelf_url}/realtime/pages")).raise_for_status().json()
    page = Page(shelf_url, answer["page"])

    async with connect(answer["socket"]) as socket:

        async def listen() -> None:
            async for message in socket:
                data: Any = json.loads(message)["data"]
                page.told.append((data["percent"], data["text"]))

        listening = asyncio.create_task(listen())
        yield page
        listening.cancel()


@pytest.mark.conformance("Connect and realtime", "A subscriber hears what a run publishes, in order.")
async def test_the_page_is_told_each_stage_once_and_in_order(shelf: Shelf, shelf_url: str) -> None:
    async with open_page(shelf_url) as page:
        await page.ask()
        [reply] = await shelf.outputs("realtime-answer")
        await shelf.until(lambda: len(page.told) >= 3)
        await shelf.settle()
    assert page.told == [(10, "Reading your question"), (60, "Checking what I wrote"), (100, reply)]


async def test_published_between_the_steps_the_page_is_told_again_at_every_call(shelf: Shelf, shelf_url: str) -> None:
    async with open_page(shelf_url) as page:
        await shelf.send("concepts/realtime.between_steps", {"page": page.name, "question": QUESTION})
        [reply] = await shelf.outputs("realtime-wrong")
        await shelf.until(lambda: (100, reply) in page.told)
    assert [percent for percent, _ in page.told] == [10, 10, 100]


@pytest.mark.conformance("Connect and realtime", "A subscriber hears the channel of its token only.")
async def test_another_page_hears_nothing_of_it(shelf: Shelf, shelf_url: str) -> None:
    async with open_page(shelf_url) as page, open_page(shelf_url) as other:
        await page.ask()
        await shelf.until(lambda: len(page.told) == 3)
        await shelf.settle()
        assert other.told == []


async def test_progress_that_cannot_be_told_costs_the_run_nothing(
    shelf: Shelf, shelf_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ConnectionError("realtime is down")

    async with open_page(shelf_url) as page:
        monkeypatch.setattr(realtime, "publish", broken)
        await page.ask()
        [reply] = await shelf.outputs("realtime-answer")
    assert reply.endswith(QUESTION)
    assert page.told == []


async def test_the_page_itself_is_served(shelf_url: str) -> None:
    async with httpx.AsyncClient() as http:
        page = (await http.get(f"{shelf_url}/realtime")).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    assert "new WebSocket(socket)" in page.text
