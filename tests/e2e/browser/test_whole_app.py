"""The whole way, with the app itself: an email arrives, a person decides in a browser, the customer is answered.

Needs a Chromium and an engine, the stand-in or the server that INNGEST_TEST_SERVER names; no account.
"""

import pytest
from playwright.async_api import Browser, expect

import db
from tests.durable.conftest import engine  # noqa: F401
from tests.durable.driver import Engine, actions, refunds_in_ledger

EMAIL = "I was charged twice for order A-1001. Please return the $49.00 to me."


@pytest.mark.parametrize(
    ("button", "became", "happened"),
    [
        ("Approve", ("issued", "approved"), {"message_received": 1, "refund_issued": 1, "message_sent": 1}),
        ("Reject", ("blocked", "rejected"), {"message_received": 1, "refund_blocked": 1, "message_sent": 1}),
    ],
)
async def test_an_email_is_decided_at_the_desk_and_answered(
    chromium: Browser,
    engine: Engine,  # noqa: F811
    button: str,
    became: tuple[str, str],
    happened: dict[str, int],
) -> None:
    context = await chromium.new_context(base_url=engine.app_url)
    page = await context.new_page()
    await page.goto("/approvals")
    await expect(page.get_by_text("All done.")).to_be_visible()
    await engine.email(EMAIL)
    await expect(page.locator("article")).to_contain_text("A-1001", timeout=20_000)
    await expect(page.locator("article")).to_contain_text(EMAIL)
    await page.get_by_label("Sentence for the customer").fill("We looked at both payments.")
    await page.get_by_role("button", name=button).click()
    await expect(page.get_by_text("and the worker was told.")).to_be_visible()
    await engine.until(actions, happened)
    assert await refunds_in_ledger() == [became]
    [row] = await db.fetch("select decided_by, approved_cents from refunds")
    assert (row["decided_by"], row["approved_cents"]) == ("dev-mode reviewer", 4900 if button == "Approve" else None)
    await context.close()
