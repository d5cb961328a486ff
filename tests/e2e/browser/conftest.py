"""A real Chromium in front of the desk, served over HTTP in this process; skipped where there is none."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, ConsoleMessage, Dialog, Error, Page, async_playwright

import db
from tests.desk import REVIEWERS, Engine, application, sign_in
from tests.serving import listening

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A browser says so in its console when a form was answered with 4xx or a poll found no server.
EXPECTED = "Failed to load resource"
# Chromium's own sandbox does not work for root.
ARGUMENTS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
Open = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests."""
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def unused() -> dict[str, list[Page]]:
    """Windows that no test has open, by their options: a new one costs Chromium a second of processor time."""
    return {}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def address(database: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Where the desk is, with the reviewers ada and grace."""
    monkeypatch.setenv("REVIEWERS", REVIEWERS)
    await db.fetch("delete from reviewer_sessions")
    async with listening(application(engine), "critical") as url:
        yield url


@pytest.fixture
def complaints() -> list[str]:
    """What the browser had to say: errors of scripts, violations of the policy, dialogs."""
    return []


@pytest.fixture
async def open_desk(
    chromium: Browser, address: str, complaints: list[str], unused: dict[str, list[Page]]
) -> AsyncIterator[Open]:
    """Opens a window of its own at the desk, signed in as `name`. In the end nobody has complained.

    It may have been another test's, but knows nothing of it: the desk has another port, so that what its pages have
    stored is not found, and the cookies are gone.
    """
    opened: list[tuple[str, Page]] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and EXPECTED not in message.text:
            complaints.append(message.text)

    def failed(error: Error) -> None:
        complaints.append(str(error))

    def asked(dialog: Dialog) -> None:
        complaints.append(f"a dialog: {dialog.message}")

    listeners: dict[Any, Any] = {"console": heard, "pageerror": failed, "dialog": asked}

    async def open_desk(path: str = "", name: str | None = "ada", **options: Any) -> Page:
        kind = json.dumps(options, sort_keys=True)
        page = unused[kind].pop() if unused.get(kind) else await (await chromium.new_context(**options)).new_page()
        opened.append((kind, page))
        if name is not None:
            # The sign-in page has tests of its own, and opening it takes as long as the rest.
            async with httpx.AsyncClient(base_url=address) as visitor:
                await sign_in(visitor, name)
            for cookie in visitor.cookies.jar:
                await page.context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": address}])
        page.set_default_timeout(10_000)
        for event, listener in listeners.items():
            page.on(event, listener)
        await page.clock.install()
        await page.goto(f"{address}/approvals{path}")
        return page

    yield open_desk
    for kind, page in opened:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        await page.goto(f"{address}/nothing")
        await page.context.clear_cookies()
        unused.setdefault(kind, []).append(page)
    assert complaints == []
