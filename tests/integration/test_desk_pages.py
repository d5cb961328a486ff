"""What the desk shows, and what stands around it: cards, pages by key, updates, headers, hostile text.

Runs without an engine or a browser, on a real Postgres.
"""

from collections.abc import AsyncIterator

import fastapi
import httpx
import pytest
import schemathesis
from selectolax.lexbor import LexborNode

import db
from refunds import ledger
from refunds.lookalikes import INVISIBLE
from telemetry import executions, rows, usage
from telemetry.current import Run
from telemetry.prices import OPENAI
from tests.desk import Engine, application, asked, browser, decide, expires_in, fields, in_ledger, parsed, pay, words
from tests.ledger import decide as approve
from tests.ledger import rewrite
from web.desk import pages, queries, rendering

pytestmark = pytest.mark.usefixtures("database")
HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}</textarea></details>"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> fastapi.FastAPI:
    """The open desk of dev mode."""
    monkeypatch.delenv("REVIEWERS", raising=False)
    return application(Engine())


@pytest.fixture
async def visitor(app: fastapi.FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as client:
        yield client


def cards(answer: httpx.Response) -> list[int]:
    return [int(node.attributes["data-refund"] or 0) for node in parsed(answer).css("article[data-refund]")]


def card(answer: httpx.Response) -> LexborNode:
    node = parsed(answer).css_first("article[data-refund]")
    assert node is not None
    return node


async def paid(order_id: str, cents: int, customer: str = "cust_001") -> int:
    """A refund whose money has left."""
    refund_id = await asked(order_id, cents, customer=customer)
    assert await approve(refund_id, approved=True, by="grace", also_paid=True) is None
    await pay(refund_id)
    return refund_id


# What it costs


async def test_the_page_of_the_costs_has_the_sums_and_a_picture_of_the_days(visitor: httpx.AsyncClient) -> None:
    assert "No model was called." in words(await visitor.get("/approvals/cost"))
    run = Run("handle-customer-email", "run-1", "mail-1", 0, None)
    call = usage.Call("gpt-5.4-mini", OPENAI, 1.0, None, "a", 3000, 1500, 0, 1000, 0)
    await rows.write([usage.row_of(run, call), executions.row_of("run-1", run, 0)])
    page = await visitor.get("/approvals/cost?days=7")
    for said in (
        "1 emails, 4,000 tokens, 50% of what was read",
        "$0.0057 an email",
        "1 executions",
        "At this pace a month has 30, which is Hobby at $0",
    ):
        assert said in words(page)
    today = parsed(page).css(".chart rect")[-3:]
    assert [(bar.attributes["class"], bar.attributes["height"]) for bar in today] == [
        ("cached", "45.0"),
        ("fresh", "45.0"),
        ("written", "30.0"),
    ]


# What waits


async def test_a_card_shows_everything_that_a_decision_needs(visitor: httpx.AsyncClient) -> None:
    await paid("B-7", 2500)
    await paid("B-8", 1050)
    await asked("A-1001", 123_456, reason="Billed twice.", email="Dear all,\n\ntwice!")
    shown = words(card(await visitor.get("/approvals")))
    for fact in (
        "$1,234.56",
        "A-1001",
        "cust_001",
        "ada@example.com",
        "enterprise",
        "unusual amount",
        "Billed twice.",
        "Dear all, twice!",
    ):
        assert fact in shown
    assert "$35.50 in 2 refunds, $35.50 of it in the last 30 days: B-8 $10.50 , B-7 $25.00" in shown
    assert "This email asks for $1,234.56 in 1 refund" in shown
    [row] = await db.fetch("select requested_at, expires_at from refunds where status = 'pending'")
    times = {node.attributes["datetime"] for node in card(await visitor.get("/approvals")).css("time")}
    assert {rendering.iso(row["requested_at"]), rendering.iso(row["expires_at"])} <= times


async def test_the_sums_are_all_of_the_email_and_all_that_the_customer_was_refunded(visitor: httpx.AsyncClient) -> None:
    for number in range(11):
        await paid(f"B-{number}", 100 if number else 9900)
    await rewrite("update refunds set decided_at = now() - interval '31 days' where id = 1 returning id")
    orders = [{"call_id": f"C-{n}", "order_id": f"C-{n}", "amount_cents": 49_999, "reason": "Twice"} for n in (21, 22)]
    await ledger.open_requests("run-1", "event-1", "cust_001", orders)
    shown = words(card(await visitor.get("/approvals")))
    assert "$109.00 in 11 refunds, $10.00 of it in the last 30 days" in shown
    assert "This email asks for $999.98 in 2 refunds" in shown


async def test_an_order_that_another_customer_was_refunded_for_is_shown_and_can_be_approved(
    visitor: httpx.AsyncClient,
) -> None:
    await paid("A-1001", 2500)
    refund_id = await asked("A-1001", customer="cust_002")
    shown = words(card(await visitor.get("/approvals")))
    assert "Another customer was refunded for this order. Whose is it? $25.00 for cust_001 , approved:" in shown
    assert "paid already" not in shown
    await decide(visitor, refund_id)
    assert (await in_ledger(refund_id))[0] == "approved"


async def test_an_order_that_looks_like_a_refunded_one_needs_a_second_yes_of_its_own(
    visitor: httpx.AsyncClient,
) -> None:
    refund_id = await asked("A-1001")
    assert "paid already" not in (await visitor.get("/approvals")).text
    await asked("# a 1001", 200)
    assert "unusual amount" not in (await visitor.get("/approvals")).text
    assert "asked for more than once" in words(card(await visitor.get("/approvals")))
    await paid("A1001", 100)
    page = await visitor.get(f"/approvals/{refund_id}")
    for fact in ("This may be paid already.", "$1.00 for order A1001", "by grace", "Pay this one as well."):
        assert fact in words(page)
    answer = await decide(visitor, refund_id)
    refused = words(await visitor.get(answer.headers["location"]))
    assert "Your decision was not recorded. It looks like refund 3 of $1.00 for order A1001" in refused
    await decide(visitor, refund_id, also_paid="yes")
    assert (await in_ledger(refund_id))[0] == "approved"


async def test_of_another_customer_no_refund_is_shown(visitor: httpx.AsyncClient) -> None:
    await asked("A-1001")
    await paid("A-1001", 100, "cust_002")
    assert "paid already" not in (await visitor.get("/approvals")).text


async def test_who_wrote_is_shown_as_the_email_says_it(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked(email=None)
    [row] = await db.fetch("select run_id from refunds where id = $1", refund_id)
    said = {"email_text": "Twice!", "from": "Ad\u0430 <ada@evil.example>\u202e", "authentication": "spf=fail"}
    await db.record("message_received", row["run_id"], "audit-received", "cust_001", **said)
    assert "Written by Ad\u0430 <ada@evil.example>[U+202E] spf=fail" in words(card(await visitor.get("/approvals")))


async def test_the_soonest_deadline_is_first_and_every_request_is_on_one_page(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 3)
    ids = [await asked(f"A-{number}", minutes_left=200 - number) for number in range(8)]
    # The same moment for some: the id decides.
    await rewrite(
        "update refunds set expires_at = date_trunc('hour', now()) + interval '3 hours' where id <= 4 returning id"
    )
    rows = await db.fetch("select id from refunds order by expires_at, id")
    seen, link = [], "/approvals"
    while link:
        page = await visitor.get(link)
        seen += cards(page)
        node = parsed(page).css_first(".pager a")
        link = str(node.attributes["href"]) if node else ""
        assert len(cards(page)) <= 3
    assert seen == [row["id"] for row in rows]
    assert sorted(seen) == ids


async def test_what_is_decided_or_out_of_time_waits_no_more(visitor: httpx.AsyncClient) -> None:
    decided, late, waiting = [await asked(f"A-{number}") for number in range(3)]
    await decide(visitor, decided)
    await expires_in(late, 0)
    assert cards(await visitor.get("/approvals")) == [waiting]


async def test_an_email_that_the_trail_does_not_have_leaves_a_card_that_works(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked(email=None)
    assert cards(await visitor.get("/approvals")) == [refund_id]
    assert (await decide(visitor, refund_id)).status_code == 303


async def test_a_long_email_is_folded_and_whole_on_its_own_page(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked(email="begin " + "x" * 90_000 + " the end")
    short = await visitor.get("/approvals")
    assert len(short.text) < 20_000
    assert "90,014 characters" in words(short)
    assert "the end" in (await visitor.get(f"/approvals/{refund_id}")).text


@pytest.mark.parametrize("minutes", [9, 11])
async def test_a_payment_without_an_answer_is_noticed_after_ten_minutes(
    visitor: httpx.AsyncClient, minutes: int
) -> None:
    refund_id = await asked("A-77")
    await decide(visitor, refund_id)
    await rewrite(
        "update refunds set payment_started_at = now() - $1 * interval '1 minute' where id = $2 returning id",
        minutes,
        refund_id,
    )
    assert ("has not answered" in (await visitor.get("/approvals")).text) == (minutes > 10)


# One refund, decided ones, the audit trail


async def test_the_page_of_a_decided_refund_tells_its_whole_history(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked()
    form_before = await visitor.get(f"/approvals/{refund_id}")
    await decide(visitor, refund_id, "reject", note="Delivered on Monday.")
    form = fields(form_before) | {"nonce": "n" * 24, "decision": "approve"}
    await visitor.post(f"/approvals/{refund_id}/decision", data=form)
    page = await visitor.get(f"/approvals/{refund_id}")
    assert parsed(page).css_first("form[data-decide]") is None
    history = words(parsed(page).css(".history")[0])
    for fact in (
        "asked for",
        "rejected",
        "Delivered on Monday.",
        "decision refused",
        "already rejected by dev-mode reviewer",
    ):
        assert fact in history


async def test_decided_refunds_are_listed_newest_first_and_each_once(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    ids = [await asked(f"A-{number}") for number in range(5)]
    for refund_id in ids:
        await decide(visitor, refund_id)
    await rewrite("update refunds set decided_at = now() where id <= 3 returning id")
    await asked("A-9")
    seen, link = [], "/approvals/decided"
    while link:
        page = await visitor.get(link)
        seen += [int(str(node.attributes["href"]).rpartition("/")[2]) for node in parsed(page).css("tbody th a")]
        node = parsed(page).css_first(".pager a")
        link = str(node.attributes["href"]) if node else ""
    rows = await db.fetch("select id from refunds where decision is not null order by decided_at desc, id desc")
    assert seen == [row["id"] for row in rows]


@pytest.mark.parametrize("filters", ["", "customer", "run", "action", "customer action", "customer run action"])
async def test_the_audit_trail_shows_what_its_filters_name_and_each_entry_once(
    visitor: httpx.AsyncClient, filters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "AUDIT_PAGE", 2)
    for number in range(16):
        await db.record(
            "health_check" if number % 2 else "run_failed",
            f"run&{number // 8}",
            f"step{number}",
            f"c#{number // 4 % 2}",
        )
    wanted = {"customer": "c#1", "run": "run&0", "action": "health_check"}
    columns = {"customer": "customer_id", "run": "run_id", "action": "action"}
    chosen = {name: wanted[name] for name in filters.split()}
    seen, answer = [], await visitor.get("/approvals/audit", params=chosen)
    while True:
        seen += [
            int(str(node.attributes["href"]).rpartition("/")[2]) for node in parsed(answer).css(".more a:last-child")
        ]
        node = parsed(answer).css_first(".pager a")
        if node is None:
            break
        answer = await visitor.get(str(node.attributes["href"]))
    rows = await db.fetch("select * from audit_log order by id desc")
    assert seen == [row["id"] for row in rows if all(row[columns[name]] == value for name, value in chosen.items())]
    assert seen


async def test_an_entry_of_the_trail_can_be_read_whole(visitor: httpx.AsyncClient) -> None:
    await db.record("run_failed", "run", "step", None, error="x" * 9000 + "the end")
    assert "the end" not in (await visitor.get("/approvals/audit")).text
    assert "the end" in (await visitor.get("/approvals/audit/1")).text


@pytest.mark.parametrize(
    "path", ["audit/2", "audit/x", "audit/0", "audit/" + "9" * 40, "audit?action=nonsense", "nowhere/at/all", ""]
)
async def test_what_does_not_exist_is_a_page_that_says_so(visitor: httpx.AsyncClient, path: str) -> None:
    answer = await visitor.get(f"/approvals/{path}")
    assert answer.status_code == 404
    assert "no such page" in words(answer)


@pytest.mark.parametrize("key", ["after", "before"])
@pytest.mark.parametrize("value", ["x", "-1", "0", "9" * 18, "9" * 5000, "\0", "1 or 1=1"])
async def test_a_key_that_is_none_breaks_no_page(visitor: httpx.AsyncClient, key: str, value: str) -> None:
    await asked()
    for path in ("", "/decided", "/audit", "/waiting"):
        assert (
            await visitor.get(f"/approvals{path}", params={key: value, "list": "", "customer": value})
        ).status_code == 200


# Updates


async def test_nothing_new_is_told_without_a_page(visitor: httpx.AsyncClient) -> None:
    await asked()
    first = await visitor.get("/approvals/waiting?list=")
    again = await visitor.get("/approvals/waiting?list=", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.text, again.headers["etag"]) == (304, "", first.headers["etag"])
    version = parsed(await visitor.get("/approvals")).css_first("body")
    assert version is not None
    assert f'W/"{version.attributes["data-version"]}"' == first.headers["etag"]


@pytest.mark.parametrize("event", ["asked", "decided", "expired", "refused"])
async def test_every_change_is_a_new_version(visitor: httpx.AsyncClient, event: str) -> None:
    refund_id = await asked()
    etag = (await visitor.get("/approvals/waiting?list=")).headers["etag"]
    if event == "asked":
        await asked("A-2")
    elif event == "decided":
        await decide(visitor, refund_id)
    elif event == "refused":
        await decide(visitor, refund_id, shown="something else")
    else:
        await expires_in(refund_id, 0)
    answer = await visitor.get("/approvals/waiting?list=", headers={"if-none-match": etag})
    assert answer.status_code == 200


async def test_an_open_page_learns_what_came_and_what_became_of_its_cards(visitor: httpx.AsyncClient) -> None:
    mine, expired, still = [await asked(f"A-{number}") for number in range(3)]
    await decide(visitor, mine)
    await expires_in(expired, -1)
    new = await asked("A-9")
    answer = await visitor.get(f"/approvals/waiting?list=&shown={mine},{expired},{still},x,{'9' * 30}")
    assert cards(answer) == [still, new]
    assert [len(node.text().split()) > 0 for node in parsed(answer).css("article")] == [False, True]
    closed = {int(node.attributes["data-closed"] or 0): words(node) for node in parsed(answer).css("[data-closed]")}
    assert set(closed) == {mine, expired}
    assert "by dev-mode reviewer" in closed[mine]
    assert "Expired" in closed[expired]


async def test_the_page_of_one_refund_gets_no_list(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked()
    assert cards(await visitor.get(f"/approvals/waiting?shown={refund_id}")) == []


async def test_an_open_page_may_ask_about_many_cards_but_not_about_all_there_ever_were(
    visitor: httpx.AsyncClient,
) -> None:
    ids = [await asked(f"A-{number}") for number in range(3)]
    for refund_id in ids:
        await decide(visitor, refund_id)
    shown = ",".join(["9999"] * (pages.SHOWN_MAX - 1) + [str(refund_id) for refund_id in ids])
    answer = await visitor.get(f"/approvals/waiting?shown={shown}")
    assert len(parsed(answer).css("[data-closed]")) == 1


# Around every answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/approvals", 200),
        ("HEAD", "/approvals", 200),
        ("GET", "/approvals/", 404),
        ("GET", "/approvals/99", 404),
        ("GET", "/approvals/waiting", 200),
        ("GET", "/approvals/sign-in", 303),
        ("POST", "/approvals", 405),
        ("DELETE", "/approvals/1", 405),
        ("GET", "/approvals/1/decision", 405),
        ("POST", "/approvals/1/decision", 403),
        ("PUT", "/approvals/sign-out", 405),
        ("GET", "/approvals/static/desk.css", 200),
        ("GET", "/approvals/static/x", 404),
        ("GET", "/approvals/static/../desk.py", 404),
        ("GET", "/approvals/static/%2e%2e%2fdesk.py", 404),
        ("GET", "/approvals/a/b/c", 404),
    ],
)
async def test_every_answer_has_the_headers(visitor: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await visitor.request(method, path)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert set(policy.replace(";", "").split()) <= {
        *(f"{kind}-src" for kind in ("default", "style", "script", "connect", "img")),
        "form-action",
        "frame-ancestors",
        "base-uri",
        "'none'",
        "'self'",
    }
    wanted = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin", "x-frame-options": "DENY"}
    assert {name: answer.headers[name] for name in wanted} == wanted
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers.get_list("content-security-policy")) == 1


async def test_a_mistake_in_the_desk_is_a_page_without_its_details(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("s3cr3t")

    monkeypatch.setattr(queries, "version", broken)
    answer = await visitor.get("/approvals")
    assert (answer.status_code, "s3cr3t" in answer.text) == (500, False)
    assert "Something went wrong" in words(answer)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_form_that_no_page_sends_is_refused(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/approvals")
    path = "/approvals/1/decision"
    assert (await visitor.post(path, data={"note": "x" * 100_000})).status_code == 413
    assert (await visitor.post(path, data={str(number): "x" for number in range(50)})).status_code == 400
    refused = await visitor.post(path, files={"note": b"x"})
    assert (refused.status_code, "Nothing was done." in words(refused)) == (400, True)
    assert (await visitor.post(path, json={"csrf": "x"})).status_code == 403
    assert (await visitor.post(path, content=b"\xff\0%%%")).status_code == 403


async def test_static_files_are_kept_exactly_as_long_as_they_are_the_same(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/approvals")
    tags = parsed(page).css("link[href], script[src], img[src]")
    links = {str(tag.attributes.get("href") or tag.attributes.get("src")) for tag in tags}
    assert len(links) == 3
    for link in links:
        answer = await visitor.get(link)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert (await visitor.get(link.partition("?")[0] + "?v=old")).headers["cache-control"] == "no-store"


async def test_no_page_refers_to_another_host_or_carries_script_or_style(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked()
    for path in ("", f"/{refund_id}", "/decided", "/audit", "/audit/1", "/cost", "/99"):
        page = parsed(await visitor.get(f"/approvals{path}"))
        for tag in page.css("*"):
            assert not [name for name in tag.attributes if name.startswith("on") or name == "style"]
            for name in ("href", "src", "action"):
                assert str(tag.attributes.get(name, "/approvals")).startswith(("/approvals", "#main"))
        assert not [tag for tag in page.css("script, style") if tag.text().strip()]


async def test_hostile_text_is_text_on_every_page(visitor: httpx.AsyncClient) -> None:
    await db.fetch("insert into customers values ($1, $1, 'pro')", HOSTILE)
    refund_id = await asked(HOSTILE, customer=HOSTILE, reason=HOSTILE, email=HOSTILE)
    run = Run(HOSTILE, "run-1", HOSTILE, 0, None)
    await rows.write([usage.row_of(run, usage.Call(HOSTILE, None, 1.0, input_tokens=1))])
    paths = ["", f"/{refund_id}", "/decided", "/audit", "/audit/1", "/cost", "/waiting?list="]
    answers = [await visitor.get(f"/approvals{path}") for path in paths]
    answers.append(await visitor.get("/approvals/audit", params={"customer": HOSTILE, "run": HOSTILE}))
    answers.append(await decide(visitor, refund_id, amount=HOSTILE, note=HOSTILE))
    await decide(visitor, refund_id, "reject", note=HOSTILE)
    answers += [await visitor.get(f"/approvals{path}") for path in [*paths, f"/waiting?shown={refund_id}"]]
    for answer in answers:
        assert "<script>alert" not in answer.text
        # Nothing is escaped twice either.
        assert "&amp;lt;" not in answer.text
    assert HOSTILE in words(answers[1])


async def test_text_that_would_read_backwards_is_shown_as_what_it_is(visitor: httpx.AsyncClient) -> None:
    await asked(email="Order \u202e1001-A\u202c please", reason="\u2066Duplicate\u2069")
    page = await visitor.get("/approvals")
    assert "[U+202E]1001-A[U+202C]" in page.text
    assert not INVISIBLE.search(page.text)


async def test_the_pages_for_people_are_no_api(app: fastapi.FastAPI) -> None:
    assert app.openapi()["paths"] == {}
    assert list(schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()) == []


async def test_detail_that_is_no_json_to_python_is_shown_as_it_is(visitor: httpx.AsyncClient) -> None:
    deep = "[" * 3000 + "]" * 3000
    await db.fetch("insert into audit_log (action, key, run_id, detail) values ('run_failed', 'k', 'r', $1)", deep)
    answer = await visitor.get("/approvals/audit/1")
    assert answer.status_code == 200
    # How deep Python reads is a setting that other tests' libraries raise: the page shows every bracket either way.
    assert answer.text.count("[") >= 3000
