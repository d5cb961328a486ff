"""The stand-in's page in a real Chromium: a person sends an event, watches its run, moves the clock and cancels."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import inngest
import pytest
from playwright.async_api import Browser, Page, expect

from offline.inngest_server import DevServer
from tests.durable.engine.world import World

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An engine and an app whose one function greets, sleeps an hour and says goodbye."""
    async with DevServer(poll=False, seed=1) as server:
        world = World(server)

        @world.on("demo/greet", "greet")
        async def greet(ctx: inngest.Context) -> str:
            async def greeting() -> str:
                return f"Hello, {ctx.event.data.get('name', 'you')}!"

            said = await ctx.step.run("greeting", greeting)
            await ctx.step.sleep("pause", timedelta(hours=1))
            return f"{said} Goodbye."

        await world.start()
        yield world
        await world.stop()


@pytest.fixture
async def page(chromium: Browser, world: World) -> AsyncIterator[Page]:
    """A window at the page. In the end the browser has not complained, neither about scripts nor about the policy."""
    complaints: list[str] = []
    context = await chromium.new_context(base_url=world.server.origin)
    page = await context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    await context.close()
    assert complaints == []


async def test_a_person_sends_an_event_and_sees_its_run_sleep_and_end(page: Page) -> None:
    await page.goto("/events")
    await page.get_by_label("Name").fill("demo/greet")
    await page.get_by_label("Data").fill('{"name": "Ada"}')
    await page.get_by_role("button", name="Send event").click()
    await page.get_by_role("link", name="greet", exact=True).click()
    await expect(page.get_by_text("sleeps for another")).to_be_visible()
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/run.png", full_page=True)
    await expect(page.get_by_text('"Hello, Ada!"')).to_be_visible()
    await page.get_by_role("button", name="+1h").click()
    await expect(page.get_by_role("heading", name="COMPLETED")).to_be_visible()
    await expect(page.get_by_text('"Hello, Ada! Goodbye."')).to_be_visible()


async def test_a_page_that_is_open_follows_what_happens(page: Page, world: World) -> None:
    await page.goto("/runs")
    await expect(page.get_by_text("No runs.")).to_be_visible()
    world.server.send_events([{"name": "demo/greet", "data": {"name": HOSTILE}}])
    await page.get_by_role("link", name="greet", exact=True).click()
    await expect(page.get_by_text(f'"Hello, {HOSTILE}!"')).to_be_visible()
    await world.advance(hours=1)
    await expect(page.get_by_role("heading", name="COMPLETED")).to_be_visible()


async def test_a_person_invokes_cancels_and_runs_again(page: Page, world: World) -> None:
    await page.goto("/functions")
    await page.get_by_role("button", name="Invoke").click()
    await expect(page.get_by_text("sleeps for another")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="CANCELLED")).to_be_visible()
    first = page.url
    await page.get_by_role("button", name="Rerun").click()
    await page.wait_for_url(lambda url: url != first)
    await expect(page.get_by_text("Rerun of")).to_be_visible()
    assert len(world.runs("greet")) == 2


async def test_a_form_on_another_sites_page_changes_nothing(page: Page, world: World) -> None:
    form = f'<form method="post" action="{world.server.origin}/clock"><button name="by" value="1h">Win</button></form>'
    await page.route("https://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    await page.goto("https://evil.example/")
    await page.get_by_role("button", name="Win").click()
    await expect(page.get_by_text("sent by a page of another site")).to_be_visible()
    assert world.server.clock.offset == 0.0
