"""A real Chromium in front of the desk, served over HTTP in this process; skipped where there is none."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

import db
from tests.desk import PASSWORD, REVIEWERS, Engine, application
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
async def open_desk(chromium: Browser, address: str, complaints: list[str]) -> AsyncIterator[Open]:
    """Opens a window of its own at the desk, signed in as `name`. In the end nobody has complained."""
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and EXPECTED not in message.text:
            complaints.append(message.text)

    async def open_desk(path: str = "", name: str | None = "ada", **options: Any) -> Page:
        context = await chromium.new_context(base_url=address, **options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        await page.clock.install()
        await page.goto(f"/approvals{path}")
        if name is not None:
            await page.get_by_label("Name").fill(name)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("button", name="Sign out").wait_for()
            if not page.url.endswith(f"/approvals{path}"):
                await page.goto(f"/approvals{path}")
        return page

    yield open_desk
    for context in contexts:
        await context.close()
    assert complaints == []
