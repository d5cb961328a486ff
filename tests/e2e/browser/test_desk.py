"""The desk in a real browser, as reviewers use it: by mouse, by keyboard, on a phone, without scripts, two at once.

Needs a Chromium; no account and no engine. What was decided is read from the ledger. The page's clock is moved.
"""

import asyncio
import re

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

import db
from tests.desk import PASSWORD, Engine, asked, decide, expires_in, history, in_ledger, pay
from tests.desk import sign_in as sign_in_over_http
from tests.e2e.browser.conftest import Open

POLL_MS = 3_000
PENDING = ("pending", None, None, None)
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>"
    "\"'></textarea><a href=javascript:alert(4)>x</a>"
)


def card(page: Page, refund_id: int) -> Locator:
    return page.locator(f'article[data-refund="{refund_id}"]')


async def a_poll_later(page: Page) -> None:
    """Let the time until the next poll pass, and wait for its answer."""
    async with page.expect_response(re.compile("/approvals/waiting")):
        await page.clock.run_for(POLL_MS)


async def colleague(address: str, refund_id: int, decision: str = "approve", **typed: str) -> None:
    """Grace decides, somewhere else."""
    async with httpx.AsyncClient(base_url=address) as visitor:
        await sign_in_over_http(visitor, "grace")
        assert (await decide(visitor, refund_id, decision, **typed)).status_code == 303


# Signing in


async def test_the_link_of_a_notification_leads_through_the_sign_in_to_its_refund(
    open_desk: Open, address: str
) -> None:
    await asked("A-1")
    refund_id = await asked("A-2")
    page = await open_desk(f"/{refund_id}", name=None)
    await page.get_by_label("Name").fill("ada")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"**/{refund_id}")
    await expect(page.locator("article")).to_have_count(1)
    await expect(card(page, refund_id)).to_contain_text("A-2")
    assert await in_ledger(refund_id) == PENDING
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await page.goto(f"{address}/approvals/{refund_id}")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_wrong_password_opens_nothing_and_too_many_have_to_wait(open_desk: Open) -> None:
    await asked(email="My secret")
    page = await open_desk(name=None)
    for _ in range(5):
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("do not go together")
    assert await page.get_by_label("Name").input_value() == "ada"
    # The pause is a second, and a browser may be slower.
    await db.fetch("update sign_in_tries set at = now() + interval '30 seconds'")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Too many tries")
    assert "secret" not in await page.content()


# What needs a person


async def test_what_nobody_answered_is_found_read_and_done(open_desk: Open) -> None:
    await db.record("run_failed", "run-1", "x", "cust_002", error="the model is away", email_text="Where is it?")
    page = await open_desk()
    await page.get_by_role("link", name="Needs a person (1)").click()
    await expect(page.get_by_role("article")).to_contain_text("the model is away")
    await page.get_by_text("The email").click()
    await expect(page.get_by_text("Where is it?")).to_be_visible()
    await page.get_by_label("What you did").fill("I wrote to Grace.")
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(page.get_by_text("I wrote to Grace.")).to_be_visible()


# Deciding


@pytest.mark.parametrize("javascript", [True, False])
async def test_approving(open_desk: Open, engine: Engine, javascript: bool) -> None:
    refund_id = await asked()
    page = await open_desk(java_script_enabled=javascript)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text(
        "Recorded. You approved $49.00, and the worker was told."
    )
    assert await in_ledger(refund_id) == ("approved", 4900, "ada", "")
    assert [event["id"] for event in engine.events] == [f"decided-{refund_id}"]


@pytest.mark.parametrize("javascript", [True, False])
async def test_lowering_after_a_typing_mistake(open_desk: Open, javascript: bool) -> None:
    refund_id = await asked()
    page = await open_desk(java_script_enabled=javascript)
    await page.get_by_label("Amount").fill("490.00")
    await page.get_by_label("Sentence for the customer").fill("Half of it, as agreed.")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("at most $49.00")
    await expect(page.get_by_label("Amount")).to_be_focused()
    await expect(page.get_by_label("Sentence for the customer")).to_have_value("Half of it, as agreed.")
    await page.get_by_label("Amount").fill("24.50")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text("You approved $24.50 of $49.00")
    assert await in_ledger(refund_id) == ("approved", 2450, "ada", "Half of it, as agreed.")


@pytest.mark.parametrize("javascript", [True, False])
async def test_rejecting_needs_a_sentence(open_desk: Open, javascript: bool) -> None:
    refund_id = await asked()
    page = await open_desk(java_script_enabled=javascript)
    await page.get_by_label("Amount").fill("10")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text("tells the customer why")
    await expect(page.get_by_label("Amount")).to_have_value("10")
    assert await in_ledger(refund_id) == PENDING
    await page.get_by_label("Sentence for the customer").fill("It was delivered on Monday.")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("status").first).to_contain_text("You rejected it")
    assert await in_ledger(refund_id) == ("rejected", None, "ada", "It was delivered on Monday.")


async def test_enter_in_a_field_decides_nothing(open_desk: Open, address: str) -> None:
    refund_id = await asked()
    page = await open_desk()
    await page.get_by_label("Amount").press("Enter")
    await page.get_by_label("Sentence for the customer").press("Enter")
    await page.goto(f"{address}/approvals/{refund_id}")
    assert await in_ledger(refund_id) == PENDING


async def test_a_double_click_is_one_decision(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk()
    await page.get_by_role("button", name="Approve").dblclick(no_wait_after=True)
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")
    assert [event for event, _ in await history(refund_id)] == ["pending", "approved"]


async def test_the_next_request_is_one_click_away(open_desk: Open) -> None:
    first, second = [await asked(f"A-{number}") for number in range(2)]
    page = await open_desk(f"/{first}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")
    await page.keyboard.press("n")
    await page.wait_for_url(f"**/{second}")
    await page.go_back()
    await page.get_by_role("link", name="Next request").click()
    await page.wait_for_url(f"**/{second}")


# Two windows, the clock


async def test_two_windows_at_once_decide_once_and_the_second_says_who_was_first(open_desk: Open) -> None:
    refund_id = await asked()
    ada, grace = await open_desk(f"/{refund_id}"), await open_desk(f"/{refund_id}", "grace")
    for page in (ada, grace):
        await page.get_by_label("Sentence for the customer").fill("Because.")
    await asyncio.gather(
        ada.get_by_role("button", name="Approve").click(), grace.get_by_role("button", name="Reject").click()
    )
    status, _, winner, _ = await in_ledger(refund_id)
    first, second = (ada, grace) if winner == "ada" else (grace, ada)
    await expect(first.get_by_role("status").first).to_contain_text("Recorded.")
    await expect(second.get_by_role("status").first).to_contain_text("Your decision was not recorded.")
    await expect(second.get_by_role("status").first).to_contain_text(f"by {winner}")
    assert [event for event, _ in await history(refund_id)] == ["pending", status, "decision refused"]


@pytest.mark.parametrize("javascript", [True, False])
async def test_what_expired_under_the_eyes_is_said_plainly(open_desk: Open, javascript: bool) -> None:
    refund_id = await asked()
    page = await open_desk(java_script_enabled=javascript)
    await expires_in(refund_id, -1)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text("The time was up")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert await in_ledger(refund_id) == PENDING


async def test_an_open_card_expires_in_place(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk()
    await expires_in(refund_id, -1)
    await a_poll_later(page)
    await expect(card(page, refund_id)).to_contain_text("nobody decided in time")
    await expect(page.get_by_role("button", name="Approve")).to_be_disabled()


async def test_new_requests_appear_in_order_of_their_deadlines_and_are_announced(open_desk: Open) -> None:
    page = await open_desk()
    await expect(page.get_by_text("All done.")).to_be_visible()
    later = await asked("A-1")
    await a_poll_later(page)
    await expect(card(page, later)).to_be_visible()
    await expect(page.get_by_text("All done.")).to_be_hidden()
    sooner = await asked("A-2", minutes_left=20)
    await a_poll_later(page)
    await expect(page.locator("article")).to_have_count(2)
    await expect(page.locator("article").first).to_have_attribute("data-refund", str(sooner))
    await expect(page.locator("#live")).to_have_text("1 new request.")
    await expect(page).to_have_title("(2) Waiting for approval")
    last = await asked("A-3")
    await a_poll_later(page)
    await expect(page.locator("article")).to_have_count(3)
    order = await page.locator("article").evaluate_all("cards => cards.map((card) => Number(card.dataset.refund))")
    assert order == [sooner, later, last]
    # A card that came by itself works like any other.
    await card(page, sooner).get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")


async def test_a_colleagues_decision_is_marked_in_place_and_nothing_typed_is_lost(
    open_desk: Open, address: str
) -> None:
    mine, theirs = await asked("A-1"), await asked("A-2", minutes_left=10)
    page = await open_desk()
    await card(page, mine).get_by_label("Sentence for the customer").fill("I am still writ")
    await card(page, theirs).get_by_label("Sentence for the customer").fill("Also half a sen")
    await card(page, mine).get_by_label("Sentence for the customer").focus()
    await colleague(address, theirs, amount="20")
    await asked("A-3", minutes_left=30)
    await a_poll_later(page)
    await expect(card(page, theirs)).to_contain_text("Approved $20.00 of $49.00 by grace")
    await expect(card(page, theirs).get_by_role("button", name="Approve")).to_be_disabled()
    await expect(card(page, theirs).get_by_label("Sentence for the customer")).to_have_value("Also half a sen")
    await expect(card(page, mine).get_by_label("Sentence for the customer")).to_have_value("I am still writ")
    await expect(card(page, mine).get_by_label("Sentence for the customer")).to_be_focused()
    await page.keyboard.type("ing")
    await expect(card(page, mine).get_by_label("Sentence for the customer")).to_have_value("I am still writing")
    await expect(page.locator("#live")).to_contain_text("Approved $20.00 of $49.00 by grace")


async def test_what_became_of_a_decision_appears_by_itself(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk(f"/{refund_id}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("The worker is carrying it out.")).to_be_visible()
    await pay(refund_id)
    await page.clock.run_for(POLL_MS)
    await expect(page.get_by_text("The money is on its way")).to_be_visible()
    await expect(page.locator(".history")).to_contain_text("issued")


async def test_what_was_typed_outlives_a_reload_and_is_gone_once_it_is_decided(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk(f"/{refund_id}")
    await page.get_by_label("Amount").fill("12")
    await page.get_by_label("Sentence for the customer").fill("Half a sen")
    await page.reload()
    await expect(page.get_by_label("Amount")).to_have_value("12")
    await expect(page.get_by_label("Sentence for the customer")).to_have_value("Half a sen")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")
    assert await page.evaluate("Object.keys(sessionStorage)") == []


async def test_a_page_whose_session_ended_says_so_and_keeps_what_was_typed(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk()
    await page.get_by_label("Sentence for the customer").fill("Half a sen")
    await db.fetch("delete from reviewer_sessions")
    await asked("A-2")
    await a_poll_later(page)
    await expect(page.locator("main [data-offline]")).to_contain_text("You are signed out.")
    await expect(card(page, refund_id).get_by_label("Sentence for the customer")).to_have_value("Half a sen")


async def test_a_page_that_lost_the_desk_says_so_and_finds_it_again(open_desk: Open) -> None:
    await asked()
    page = await open_desk()
    await page.route("**/approvals/waiting*", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        await page.clock.run_for(POLL_MS)
    await expect(page.locator("main [data-offline]")).to_contain_text("No connection to the desk.")
    await page.unroute("**/approvals/waiting*")
    async with page.expect_response(re.compile("/approvals/waiting")):
        await page.clock.run_for(10_000)
    await expect(page.locator("main [data-offline]")).to_have_count(0)


# Keyboard, phone


async def test_a_reviewer_needs_no_mouse(open_desk: Open) -> None:
    first, second, third = [await asked(f"A-{number}") for number in range(3)]
    page = await open_desk()
    for key, expected in (("j", first), ("j", second), ("j", third), ("j", third), ("k", second)):
        await page.keyboard.press(key)
        await expect(card(page, expected)).to_be_focused()
    await page.keyboard.press("r")
    await expect(card(page, second).get_by_label("Sentence for the customer")).to_be_focused()
    await page.keyboard.type("jar? ok")
    await expect(card(page, second).get_by_label("Sentence for the customer")).to_have_value("jar? ok")
    await page.keyboard.press("Escape")
    await expect(card(page, second)).to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    await page.keyboard.press("a")
    await expect(card(page, second).get_by_role("button", name="Approve")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")
    assert [(await in_ledger(each))[0] for each in (first, second, third)] == ["pending", "approved", "pending"]


async def test_single_keys_can_be_switched_off(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk()
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_label("Single keys work on this device").uncheck()
    await page.get_by_role("button", name="Close").click()
    await page.reload()
    await page.keyboard.press("j")
    await expect(card(page, refund_id)).not_to_be_focused()
    await expect(page.get_by_label("Single keys work on this device")).not_to_be_checked()


async def test_tab_reaches_every_control_in_the_order_of_reading_and_shows_where_it_is(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk()
    reached, rings = [], []
    for _ in range(18):
        await page.keyboard.press("Tab")
        name, ring = await page.evaluate(
            "[document.activeElement.name || document.activeElement.textContent.trim(),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(f"{name} {await page.evaluate('document.activeElement.value || String()')}".strip())
        rings.append(ring)
    wanted = [
        "Skip to content",
        "Waiting",
        "Decided",
        "Audit trail",
        "amount 49.00",
        "note",
        "decision approve",
        "decision reject",
    ]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)
    assert "none" not in rings[: places[-1] + 1]
    assert await in_ledger(refund_id) == PENDING


@pytest.mark.parametrize("width", [360, 1440])
async def test_no_page_scrolls_sideways(open_desk: Open, width: int, address: str) -> None:
    decided, waiting = (
        await asked("B-1", email="y" * 400),
        await asked("A" * 64, 99_999_999_99, reason="x" * 900, email="z" * 5000),
    )
    await colleague(address, decided, "reject", note="w" * 300)
    for name, paths in (None, ("/sign-in", "/99")), ("ada", (f"/{waiting}", "/decided", "/audit", "")):
        page = await open_desk(paths[0], name)
        await page.set_viewport_size({"width": width, "height": 700})
        for path in paths:
            await page.goto(f"{address}/approvals{path}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
    # No word of the navigation is broken in two.
    lines = "link => { const r = new Range(); r.selectNodeContents(link); return r.getClientRects().length }"
    assert await page.get_by_role("link", name="Decided").evaluate(lines) == 1
    box = await page.get_by_role("button", name="Approve").bounding_box()
    assert box is not None
    assert box["height"] >= 44


async def test_a_refund_is_decided_on_a_phone(open_desk: Open) -> None:
    refund_id = await asked()
    page = await open_desk(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    await page.get_by_role("button", name="Approve").tap()
    await expect(page.get_by_role("status").first).to_contain_text("Recorded.")
    assert (await in_ledger(refund_id))[0] == "approved"


# Hostile text


async def test_hostile_text_executes_nowhere(open_desk: Open, address: str) -> None:
    await db.fetch("insert into customers values ($1, $1, 'pro')", HOSTILE)
    refund_id = await asked(HOSTILE, customer=HOSTILE, reason=HOSTILE, email=HOSTILE * 20)
    other = await asked(HOSTILE, reason=HOSTILE, email=HOSTILE)
    page = await open_desk()
    for path in ("", f"/{refund_id}", "/audit", "/audit/1"):
        await page.goto(f"{address}/approvals{path}")
        await page.locator("main details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    await page.goto(f"{address}/approvals")
    await colleague(address, other, "reject", note=HOSTILE)
    await asked(HOSTILE, reason=HOSTILE, email=HOSTILE)
    await a_poll_later(page)
    await expect(page.locator("article")).to_have_count(3)
    await card(page, refund_id).get_by_label("Amount").fill(HOSTILE[:20])
    await card(page, refund_id).get_by_role("button", name="Approve").click()
    await page.goto(f"{address}/approvals/decided")
    await expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert await page.locator("main img, main script, main svg, main a[href^=javascript]").count() == 0


async def test_the_policy_stops_what_would_slip_through(open_desk: Open, complaints: list[str]) -> None:
    """The net under the escaping: the browser refuses an inline script, a foreign image and a foreign frame."""
    await asked()
    page = await open_desk()
    stopped = await page.evaluate(
        """async () => {
            const stopped = [];
            document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
            const next = (done) => document.addEventListener("securitypolicyviolation", done, {once: true});
            for (const make of [
                () => { const tag = document.createElement("script"); tag.textContent = "window.bad = 1"; return tag; },
                () => Object.assign(document.createElement("img"), {src: "http://127.0.0.1:1/x.png"}),
                () => Object.assign(document.createElement("iframe"), {src: "http://127.0.0.1:1/"}),
            ]) { const seen = new Promise(next); document.body.append(make()); await seen; }
            return [...stopped, String(window.bad)];
        }"""
    )
    assert stopped == ["script-src-elem", "img-src", "frame-src", "undefined"]
    assert len(complaints) == 3
    complaints.clear()
