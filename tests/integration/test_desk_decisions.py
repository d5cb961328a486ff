"""Decisions at the desk: what the ledger holds after every way of pressing a button.

Runs without an engine or a browser, on a real Postgres. What counts is the rows and the events sent, not the words.
"""

import asyncio
from collections.abc import AsyncIterator

import fastapi
import httpx
import pytest

import db
from refunds import ledger
from tests.desk import REVIEWERS as CONFIGURED
from tests.desk import (
    Engine,
    application,
    asked,
    browser,
    decide,
    expires_in,
    fields,
    history,
    in_ledger,
    parsed,
    sign_in,
    words,
)
from tests.ledger import rewrite

pytestmark = pytest.mark.usefixtures("database")
PENDING = ("pending", None, None, None)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def app(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> fastapi.FastAPI:
    monkeypatch.setenv("REVIEWERS", CONFIGURED)
    return application(engine)


@pytest.fixture
async def ada(app: fastapi.FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as visitor:
        await sign_in(visitor, "ada")
        yield visitor


@pytest.fixture
async def grace(app: fastapi.FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as visitor:
        await sign_in(visitor, "grace")
        yield visitor


# Yes, less, no


async def test_an_approval_is_in_the_ledger_before_the_engine_is_told(
    ada: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    remember = Engine.__call__

    async def look(self: Engine, events: object) -> None:
        seen.append(await in_ledger(refund_id))
        await remember(self, events)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "__call__", look)
    refund_id = await asked()
    answer = await decide(ada, refund_id)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{refund_id}?said=recorded")
    assert seen == [("approved", 4900, "ada", "")]
    [row] = await db.fetch("select request_id from refunds")
    assert engine.events == [
        {
            "id": f"decided-{refund_id}",
            "name": "refund/approval.decided",
            "data": {"request_id": row["request_id"], "refund_id": refund_id},
        }
    ]
    assert await history(refund_id) == [("pending", (await history(refund_id))[0][1]), ("approved", "ada")]


@pytest.mark.parametrize(
    ("typed", "cents"), [("12.5", 1250), ("$12", 1200), (" 0.01 ", 1), ("49.00", 4900), ("49", 4900), ("0049.0", 4900)]
)
async def test_a_lower_amount_is_what_is_approved(ada: httpx.AsyncClient, typed: str, cents: int) -> None:
    refund_id = await asked()
    assert (await decide(ada, refund_id, amount=typed, note="As agreed")).status_code == 303
    assert await in_ledger(refund_id) == ("approved", cents, "ada", "As agreed")


@pytest.mark.parametrize(
    "typed", ["49.01", "0", "0.00", "-1", "", "4,9", "49,00", "1e1", "0.001", "\u0664\u0669", "NaN", "9" * 5000]
)
async def test_an_amount_that_is_none_is_refused_and_what_was_typed_is_kept(
    ada: httpx.AsyncClient, engine: Engine, typed: str
) -> None:
    refund_id = await asked()
    answer = await decide(ada, refund_id, amount=typed, note="As agreed")
    assert answer.status_code == 422
    assert (fields(answer)["amount"], fields(answer)["note"]) == (typed, "As agreed")
    assert await in_ledger(refund_id) == PENDING
    assert engine.events == []


async def test_amounts_with_thousands_are_read_as_people_write_them(ada: httpx.AsyncClient) -> None:
    for number, (cents, written) in enumerate(
        {12_345_678: "123,456.78", 12_345_678_901_200: "123,456,789,012.00"}.items()
    ):
        refund_id = await asked(f"A-{number}", cents)
        assert fields(await ada.get(f"/approvals/{refund_id}"))["amount"] == written
        assert (await decide(ada, refund_id)).status_code == 303
        assert await in_ledger(refund_id) == ("approved", cents, "ada", "")


async def test_a_rejection_needs_a_sentence(ada: httpx.AsyncClient, engine: Engine) -> None:
    refund_id = await asked()
    for note in ("", " \n ", "...", "\u200b"):
        answer = await decide(ada, refund_id, "reject", note=note, amount="nonsense")
        assert answer.status_code == 422
        assert fields(answer)["amount"] == "nonsense"
    assert (await in_ledger(refund_id), engine.events) == (PENDING, [])
    assert (await decide(ada, refund_id, "reject", note="It was delivered on Monday.", amount="x")).status_code == 303
    assert await in_ledger(refund_id) == ("rejected", None, "ada", "It was delivered on Monday.")
    assert len(engine.events) == 1


async def test_a_note_is_bounded_and_a_hostile_one_is_only_text(ada: httpx.AsyncClient) -> None:
    refund_id = await asked()
    assert (await decide(ada, refund_id, note="x" * 1001)).status_code == 422
    assert await in_ledger(refund_id) == PENDING
    hostile = "</textarea><script>alert(1)</script>"
    await decide(ada, refund_id, "reject", note=hostile)
    assert (await in_ledger(refund_id))[3] == hostile
    assert "<script>alert" not in (await ada.get(f"/approvals/{refund_id}")).text


@pytest.mark.parametrize("decision", ["", "yes", "APPROVE", "approved"])
async def test_no_button_is_no_decision(ada: httpx.AsyncClient, decision: str) -> None:
    refund_id = await asked()
    assert (await decide(ada, refund_id, decision, note="Because I say so")).status_code == 422
    assert await in_ledger(refund_id) == PENDING


# Twice, late, two people


async def test_a_double_click_is_one_decision(ada: httpx.AsyncClient) -> None:
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    path = f"/approvals/{refund_id}/decision"
    answers = await asyncio.gather(*(ada.post(path, data=form) for _ in range(5)))
    assert {answer.headers["location"] for answer in answers} == {f"/approvals/{refund_id}?said=recorded"}
    assert [event for event, _ in await history(refund_id)] == ["pending", "approved"]


async def test_a_form_that_is_sent_again_with_a_lower_amount_is_told_what_stands(ada: httpx.AsyncClient) -> None:
    """Back, another amount, Approve: the browser sends the same form."""
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    assert (await ada.post(f"/approvals/{refund_id}/decision", data=form)).headers["location"].endswith("=recorded")
    lower = await ada.post(f"/approvals/{refund_id}/decision", data=form | {"amount": "10.00"})
    assert lower.headers["location"].endswith("=refused")
    assert "You had decided already" in words(await ada.get(lower.headers["location"]))
    assert await in_ledger(refund_id) == ("approved", 4900, "ada", "")


async def test_of_two_reviewers_one_decides_and_the_other_is_told_who(
    ada: httpx.AsyncClient, grace: httpx.AsyncClient, engine: Engine
) -> None:
    refund_id = await asked()
    path, typed = f"/approvals/{refund_id}", {"note": "The order was delivered."}
    yes = fields(await ada.get(path)) | typed | {"decision": "approve"}
    no = fields(await grace.get(path)) | typed | {"decision": "reject"}
    answers = await asyncio.gather(ada.post(f"{path}/decision", data=yes), grace.post(f"{path}/decision", data=no))
    said = [answer.headers["location"].partition("=")[2] for answer in answers]
    assert sorted(said) == ["recorded", "refused"]
    first, second = ("ada", "grace") if said[0] == "recorded" else ("grace", "ada")
    assert (await in_ledger(refund_id))[2] == first
    assert (await history(refund_id))[-1] == ("decision refused", second)
    assert len(engine.events) == 1
    loser = grace if second == "grace" else ada
    page = words(await loser.get(f"/approvals/{refund_id}?said=refused"))
    assert f"by {first}" in page
    assert "not recorded" in page


async def test_a_large_refund_is_shown_to_two_and_wakes_its_run_after_the_second_yes(
    ada: httpx.AsyncClient, grace: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECOND_APPROVER_CENTS", "4900")
    refund_id = await asked()
    path = f"/approvals/{refund_id}"
    assert "Two reviewers needed" in words(await ada.get(path))
    form = fields(await ada.get(path)) | {"decision": "approve", "amount": "40"}
    for _ in range(2):
        first = await ada.post(f"{path}/decision", data=form)
        assert first.headers["location"] == f"{path}?said=first"
    assert "It is paid when another reviewer has approved it too." in words(await ada.get(f"{path}?said=first"))
    assert not parsed(await ada.get(path)).css_matches("button.approve")
    assert engine.events == []
    for page in ("/approvals", path):
        assert "1 of 2 , first by ada : $40.00 approved" in words(await grace.get(page))
    assert (await decide(grace, refund_id, amount="41")).status_code == 422
    assert (await decide(grace, refund_id)).headers["location"] == f"{path}?said=recorded"
    assert await in_ledger(refund_id) == ("approved", 4000, "grace", "")
    assert [event["id"] for event in engine.events] == [f"decided-{refund_id}"]
    assert await history(refund_id) == [
        ("pending", (await history(refund_id))[0][1]),
        ("first of two approvals", "ada"),
        ("approved", "grace"),
    ]


async def test_the_second_of_two_who_agree_is_told_that_the_first_decided(
    ada: httpx.AsyncClient, grace: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    refund_id = await asked()
    path = f"/approvals/{refund_id}"
    forms = [fields(await visitor.get(path)) | {"decision": "approve"} for visitor in (ada, grace)]
    first = await ada.post(f"{path}/decision", data=forms[0])
    second = await grace.post(f"{path}/decision", data=forms[1])
    assert [each.headers["location"] for each in (first, second)] == [f"{path}?said=recorded", f"{path}?said=refused"]
    assert (await in_ledger(refund_id))[2] == "ada"
    assert [record.message for record in caplog.records] == [f"A decision on refund {refund_id} was refused"]


async def test_what_expired_under_the_eyes_is_not_decided(ada: httpx.AsyncClient, engine: Engine) -> None:
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    await expires_in(refund_id, -1)
    answer = await ada.post(f"/approvals/{refund_id}/decision", data=form)
    assert answer.headers["location"].endswith("?said=refused")
    assert (await in_ledger(refund_id), engine.events) == (PENDING, [])
    assert (await history(refund_id))[-1] == ("decision refused", "ada")
    page = await ada.get(answer.headers["location"])
    assert "time was up" in words(page)
    assert "data-decide" not in page.text


async def test_a_form_of_another_refund_decides_nothing(ada: httpx.AsyncClient) -> None:
    shown, other = await asked("A-1"), await asked("A-2", 9900)
    form = fields(await ada.get(f"/approvals/{shown}")) | {"decision": "approve"}
    answer = await ada.post(f"/approvals/{other}/decision", data=form)
    assert answer.headers["location"].endswith("?said=refused")
    assert [await in_ledger(shown), await in_ledger(other)] == [PENDING, PENDING]


@pytest.mark.parametrize("refund", ["999", "0", "-1", "x", "1e3", "9" * 30, "%00", "\u0661"])
async def test_a_refund_that_does_not_exist_is_a_page_that_says_so(ada: httpx.AsyncClient, refund: str) -> None:
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    assert (await ada.post(f"/approvals/{refund}/decision", data=form)).status_code == 404
    assert (await ada.get(f"/approvals/{refund}")).status_code == 404
    assert await in_ledger(refund_id) == PENDING


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_a_post_decides(ada: httpx.AsyncClient, method: str) -> None:
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    answer = await ada.request(method, f"/approvals/{refund_id}/decision", params=form)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    await ada.get(f"/approvals/{refund_id}", params=form | {"said": "recorded"})
    assert await in_ledger(refund_id) == PENDING


async def test_a_link_can_not_make_the_page_say_what_did_not_happen(
    ada: httpx.AsyncClient, grace: httpx.AsyncClient
) -> None:
    refund_id = await asked()
    said = [f"/approvals/{refund_id}?said={code}" for code in ("recorded", "recorded-not-sent", "<b>paid</b>")]
    for link in said:
        assert "Recorded" not in (page := await ada.get(link)).text
        assert "paid</b>" not in page.text
    await decide(grace, refund_id)
    assert "Recorded." in words(await grace.get(said[0]))
    assert "Recorded" not in words(await ada.get(said[0]))


# The engine and the database


async def test_an_engine_that_is_away_loses_no_decision(ada: httpx.AsyncClient, engine: Engine) -> None:
    engine.away = True
    refund_id = await asked()
    answer = await decide(ada, refund_id)
    assert await in_ledger(refund_id) == ("approved", 4900, "ada", "")
    assert "will be told within minutes" in words(await ada.get(answer.headers["location"]))
    # The cron keeps that promise: see tests/durable/test_approval.py for how it wakes the run.
    await rewrite("update refunds set decided_at = now() - interval '61 seconds' where id = $1 returning id", refund_id)
    assert [row["id"] for row in await ledger.decided_but_not_applied()] == [refund_id]


async def test_a_decision_during_an_outage_can_be_sent_again_and_counts_once(
    ada: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund_id = await asked()
    real = ledger.decide

    async def lost(*arguments: object, **named: object) -> None:
        await real(*arguments, **named)  # type: ignore[arg-type]
        raise ConnectionResetError("after the commit")

    monkeypatch.setattr(ledger, "decide", lost)
    answer = await decide(ada, refund_id, amount="20", note="Half & half")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    kept = fields(answer, "main form")
    assert (kept["amount"], kept["note"], kept["decision"]) == ("20", "Half & half", "approve")
    monkeypatch.setattr(ledger, "decide", real)
    again = await ada.post(f"/approvals/{refund_id}/decision", data=kept)
    assert again.headers["location"].endswith("?said=recorded")
    assert await in_ledger(refund_id) == ("approved", 2000, "ada", "Half & half")
    assert [event for event, _ in await history(refund_id)] == ["pending", "approved"]


async def test_a_database_that_is_away_is_a_page_on_every_path(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refund_id = await asked()
    form = fields(await ada.get(f"/approvals/{refund_id}")) | {"decision": "approve", "note": "Kept in the form"}
    await db.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3cr3t@127.0.0.1:1/away")
    paths = ["", f"/{refund_id}", "/decided", "/audit", "/waiting", "/sign-in", "/audit/1"]
    answers = [await ada.get(f"/approvals{path}") for path in paths]
    answers.append(await ada.post(f"/approvals/{refund_id}/decision", data=form))
    assert {answer.status_code for answer in answers} == {503}
    assert fields(answers[-1], "main form")["note"] == "Kept in the form"
    assert "s3cr3t" not in caplog.text + "".join(answer.text for answer in answers)
    await db.close()
