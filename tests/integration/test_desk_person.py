"""The list of what needs a person: whatever went wrong stands there until somebody says that it is done."""

from collections.abc import AsyncIterator

import asyncpg
import fastapi
import httpx
import pytest

import db
from steps import failures
from tests.desk import REVIEWERS, Engine, application, asked, browser, fields, parsed, sign_in, words
from web.desk import person

pytestmark = pytest.mark.usefixtures("database")
PAGE = "/approvals/needs-a-person"
HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}</textarea></details>\u202e"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> fastapi.FastAPI:
    monkeypatch.setenv("REVIEWERS", REVIEWERS)
    return application(Engine())


@pytest.fixture
async def grace(app: fastapi.FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as client:
        await sign_in(client, "grace")
        yield client


async def failed(run_id: str = "run-1", error: str = "the model is away", **detail: str) -> None:
    """An email that could not be answered."""
    await failures.hand_over(
        run_id, f"event-{run_id}", {"customer_id": "cust_002", "email_text": "Hi"}, error, **detail
    )


async def unmatched(run_id: str, sender: str) -> None:
    await db.record("run_failed", run_id, "audit-unmatched", None, error="not a customer", sender=sender)


def entries(answer: httpx.Response) -> int:
    return len(parsed(answer).css("article"))


def link(answer: httpx.Response) -> str:
    node = parsed(answer).css_first(f'nav a[href="{PAGE}"]')
    assert node is not None
    return words(node)


async def press_done(client: httpx.AsyncClient, **typed: str) -> httpx.Response:
    """Fill in the first form of the page, and send it."""
    page = await client.get(PAGE)
    action = parsed(page).css_first("main form")
    assert action is not None
    form = fields(page, "main form")
    form.pop("same_sender", None)
    return await client.post(str(action.attributes["action"]), data=form | typed)


async def test_a_failed_email_stands_there_with_its_reason_its_text_and_its_draft(grace: httpx.AsyncClient) -> None:
    refund_id = await asked(customer="cust_002", email="Please return my money.")
    [row] = await db.fetch("select run_id from refunds")
    await failed(row["run_id"], error="the mail server refused the recipient", reply="Dear Grace, I could not refund.")
    page = await grace.get(PAGE)
    shown = words(page)
    for fact in ("cust_002", "grace@example.com", "the mail server refused", "Hi", "Dear Grace, I could not refund."):
        assert fact in shown
    assert f'href="/approvals/{refund_id}"' in page.text


async def test_an_email_whose_run_was_silent_and_then_failed_is_one_entry_with_what_is_known_last(
    grace: httpx.AsyncClient,
) -> None:
    await db.record("run_failed", "run-1", "lost", "cust_002", error="silent for ten minutes", event_id="event-run-1")
    await failed(error="the mailbox is full", reply="Dear Grace")
    page = await grace.get(PAGE)
    assert (entries(page), link(page)) == (1, "Needs a person (1)")
    assert "the mailbox is full" in words(page)
    assert "Dear Grace" in words(page)
    await press_done(grace)
    assert entries(await grace.get(PAGE)) == 0
    await db.record("run_failed", "run-2", "audit-run-failed", "cust_002", error="again", event_id="event-run-1")
    assert entries(await grace.get(PAGE)) == 1


async def test_the_count_is_on_every_page(grace: httpx.AsyncClient) -> None:
    pages = ("/approvals", PAGE, "/approvals/decided", "/approvals/audit", "/approvals/cost")
    assert {link(await grace.get(page)) for page in pages} == {"Needs a person"}
    for number in range(2):
        await failed(f"run-{number}")
    assert {link(await grace.get(page)) for page in pages} == {"Needs a person (2)"}


async def test_what_is_done_leaves_the_list_and_says_who_and_when_for_good(grace: httpx.AsyncClient) -> None:
    await failed()
    assert (await press_done(grace, note="I called her.")).headers["location"] == PAGE
    page = await grace.get(PAGE)
    assert entries(page) == 0
    assert link(page) == "Needs a person"
    for fact in ("Done lately", "cust_002", "grace", "I called her."):
        assert fact in words(page)
    [row] = await db.fetch("select done_by, note, now() - done_at < interval '1 minute' as recent from needs_person")
    assert tuple(row.values()) == ("grace", "I called her.", True)
    for statement in (
        "update needs_person set done_by = 'ada'",
        "update needs_person set done_by = null, done_at = null, note = null",
        "delete from needs_person",
        "truncate needs_person",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await db.fetch(statement)


async def test_two_who_are_done_at_once_are_one(grace: httpx.AsyncClient, app: fastapi.FastAPI) -> None:
    await failed()
    [row] = await db.fetch("select audit_id from needs_person")
    assert await person.done(row["audit_id"], "grace", {"note": "first"})
    assert await person.done(row["audit_id"], "ada", {"note": "second"})
    [row] = await db.fetch("select done_by, note from needs_person")
    assert tuple(row.values()) == ("grace", "first")


async def test_all_of_one_sender_can_be_done_at_once(grace: httpx.AsyncClient) -> None:
    for number in range(3):
        await unmatched(f"mail-{number}", "robot@example.net")
    await unmatched("mail-9", "somebody@example.net")
    await press_done(grace, same_sender="yes")
    page = await grace.get(PAGE)
    assert entries(page) == 1
    assert "somebody@example.net" in words(page)


async def test_a_reply_that_went_out_after_all_is_said(grace: httpx.AsyncClient) -> None:
    await failed()
    assert "A reply went out since" not in words(await grace.get(PAGE))
    await db.record("message_sent", "run-1", "audit-sent", "cust_002", reply="Hello")
    assert "A reply went out since" in words(await grace.get(PAGE))


async def test_a_reply_to_an_email_that_was_given_up_is_said_too(grace: httpx.AsyncClient) -> None:
    """Behind a throttle an email can wait for longer than the hour after which a person is asked."""
    await db.record("run_failed", "email-1", "not-begun", "cust_002", error="No run began", event_id="email-1")
    await db.record("message_received", "run-1", "audit-received", "cust_002", email_text="Hi", event_id="email-1")
    assert "A reply went out since" not in words(await grace.get(PAGE))
    await db.record("message_sent", "run-1", "audit-sent", "cust_002", reply="Hello", event_id="email-1")
    assert "A reply went out since" in words(await grace.get(PAGE))


async def test_nothing_is_done_without_a_session_or_a_form_of_ours(
    grace: httpx.AsyncClient, app: fastapi.FastAPI
) -> None:
    await failed()
    [row] = await db.fetch("select audit_id from needs_person")
    path = f"{PAGE}/{row['audit_id']}/done"
    form = fields(await grace.get(PAGE), "main form")
    assert (await grace.post(path, data=form | {"csrf": "0" * 64})).status_code == 403
    assert (await grace.post(path, data=form, headers={"origin": "https://evil.example"})).status_code == 403
    async with browser(app) as stranger:
        assert (await stranger.get(PAGE)).status_code == 303
        assert (await stranger.post(path, data=form)).status_code == 403
    assert (await grace.post(f"{PAGE}/999999/done", data=form)).status_code == 404
    assert (await grace.post(f"{PAGE}/x/done", data=form)).status_code == 404
    assert await db.fetch("select from needs_person where done_at is not null") == []


async def test_hostile_text_is_text(grace: httpx.AsyncClient) -> None:
    await failed(error=HOSTILE, reply=HOSTILE, sender=HOSTILE, subject=HOSTILE)
    await press_done(grace, note=HOSTILE)
    await failed("run-2", error=HOSTILE, reply=HOSTILE, sender=HOSTILE, subject=HOSTILE)
    page = await grace.get(PAGE)
    assert "<script>alert" not in page.text
    assert "[U+202E]" in page.text


async def test_a_long_list_has_pages(grace: httpx.AsyncClient) -> None:
    for number in range(30):
        await failed(f"run-{number}")
    first = await grace.get(PAGE)
    more = parsed(first).css_first(".pager a")
    assert more is not None
    assert (entries(first), entries(await grace.get(str(more.attributes["href"])))) == (25, 5)
    assert link(first) == "Needs a person (30)"


async def test_money_that_came_back_needs_a_person_too(grace: httpx.AsyncClient) -> None:
    await db.record("refund_blocked", "run-1", "refund-failed:re_1", "cust_002", why="not delivered", needs_person=True)
    await db.record("refund_blocked", "run-1", "block_refund:call", "cust_002", why="rejected")
    page = await grace.get(PAGE)
    assert entries(page) == 1
    assert "not delivered" in words(page)
