"""Who gets to the desk: passwords, sessions, forms of other sites, and the desk without any configuration.

Runs without an engine or a browser, on a real Postgres. Sessions are counted in their table.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import fastapi
import httpx
import pytest
from argon2 import PasswordHasher

import db
import settings
from tests.desk import (
    HASHER,
    HOST,
    PASSWORD,
    Engine,
    application,
    asked,
    browser,
    decide,
    fields,
    in_ledger,
    sign_in,
    words,
)
from tests.desk import REVIEWERS as CONFIGURED
from web.desk import reviewers

pytestmark = pytest.mark.usefixtures("database")
WRONG = "wrong"
PAGES = [
    "/approvals",
    "/approvals/1",
    "/approvals/decided",
    "/approvals/audit",
    "/approvals/audit/1",
    "/approvals/cost",
]


@pytest.fixture(autouse=True)
async def nobody_is_signed_in(database: None) -> None:
    await db.fetch("delete from reviewer_sessions")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWERS", CONFIGURED)


@pytest.fixture
def app(configured: None) -> fastapi.FastAPI:
    return application(Engine())


@pytest.fixture
async def visitor(app: fastapi.FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as client:
        yield client


async def sessions() -> list[str]:
    return [row["reviewer"] for row in await db.fetch("select reviewer from reviewer_sessions order by expires_at")]


async def is_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/approvals")).status_code == 200


# In and out


async def test_a_reviewer_signs_in_and_is_back_at_the_refund_that_was_wanted(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked()
    sent_on = await visitor.get(f"/approvals/{refund_id}")
    assert (sent_on.status_code, sent_on.headers["location"]) == (303, f"/approvals/sign-in?refund={refund_id}")
    form = fields(await visitor.get(sent_on.headers["location"]), "main form")
    answer = await visitor.post("/approvals/sign-in", data=form | {"name": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{refund_id}")
    assert await is_in(visitor)
    assert await sessions() == ["ada"]


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "1/../../evil", "1\r\nLocation: x", "-1", ""],
)
async def test_no_link_leads_from_the_sign_in_to_anywhere_else(visitor: httpx.AsyncClient, wanted: str) -> None:
    page = await visitor.get("/approvals/sign-in", params={"refund": wanted, "next": wanted, "return": wanted})
    assert "evil" not in page.text
    assert (await sign_in(visitor, refund=wanted)).headers["location"] == "/approvals"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("ada", ""), ("ADA", PASSWORD), ("ada\0", PASSWORD)],
)
async def test_a_wrong_name_or_password_opens_nothing_and_says_not_which(
    visitor: httpx.AsyncClient, name: str, password: str
) -> None:
    answer = await sign_in(visitor, name, password)
    assert answer.status_code == 403
    assert "This name and password do not go together." in words(answer)
    assert not await is_in(visitor)
    assert await sessions() == []


async def test_an_unknown_name_costs_a_check_like_a_known_one(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = PasswordHasher.verify

    def verify(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
        checked.append(password)
        return real(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    await sign_in(visitor, "ada", "wrong one")
    await sign_in(visitor, "unknown", "wrong two")
    assert checked == ["wrong one", "wrong two"]


async def test_passwords_are_checked_beside_the_event_loop(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    monkeypatch.setattr(
        PasswordHasher, "verify", lambda *_: threads.append(threading.current_thread() is threading.main_thread())
    )
    await sign_in(visitor)
    assert threads == [False]


async def test_the_password_counts_however_its_letters_were_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWERS", "zoe:" + HASHER.hash("caf\u00e9 caf\u00e9 caf\u00e9"))
    async with browser(application(Engine())) as client:
        assert (await sign_in(client, "zoe", "cafe\u0301 cafe\u0301 cafe\u0301")).status_code == 303


async def test_signing_in_replaces_the_token_and_only_its_hash_is_stored(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/approvals/sign-in")
    before = visitor.cookies["desk"]
    await sign_in(visitor)
    first = visitor.cookies["desk"]
    assert first != before
    await visitor.get("/approvals")
    form = fields(await visitor.get("/approvals"), "form[data-sign-out]")
    await visitor.post("/approvals/sign-in", data=form | {"name": "grace", "password": PASSWORD})
    assert visitor.cookies["desk"] != first
    assert await sessions() == ["grace"]
    [row] = await db.fetch("select * from reviewer_sessions")
    assert visitor.cookies["desk"] not in str(row)


async def test_a_token_that_the_visitor_brought_is_never_a_session(visitor: httpx.AsyncClient) -> None:
    visitor.cookies.set("desk", "chosen by somebody else", domain=HOST.partition(":")[0])
    await sign_in(visitor)
    async with browser(visitor._transport.app) as thief:  # type: ignore[attr-defined]
        thief.cookies.set("desk", "chosen by somebody else", domain=HOST.partition(":")[0])
        assert not await is_in(thief)


async def test_signing_out_ends_the_session_for_good(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    token = visitor.cookies["desk"]
    form = fields(await visitor.get("/approvals"), "form[data-sign-out]")
    assert (await visitor.post("/approvals/sign-out", data=form)).status_code == 303
    assert "desk" not in visitor.cookies
    visitor.cookies.set("desk", token, domain=HOST.partition(":")[0])
    assert not await is_in(visitor)
    assert await sessions() == []


async def test_a_session_ends_after_twelve_hours_and_its_row_goes(
    app: fastapi.FastAPI, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor)
    [row] = await db.fetch("select extract(epoch from expires_at - now())::int as seconds from reviewer_sessions")
    assert 12 * 3600 - 60 < row["seconds"] <= 12 * 3600
    await db.fetch("update reviewer_sessions set expires_at = now()")
    assert not await is_in(visitor)
    async with browser(app) as other:
        await sign_in(other, "grace")
    assert await sessions() == ["grace"]


@pytest.mark.parametrize("change", ["removed", "new password"])
async def test_a_session_ends_when_the_reviewer_is_removed_or_has_another_password(
    visitor: httpx.AsyncClient, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(visitor)
    token = visitor.cookies["desk"]
    grace = CONFIGURED.split()[1]
    monkeypatch.setenv("REVIEWERS", grace if change == "removed" else f"{grace} ada:{HASHER.hash(PASSWORD)}")
    async with browser(application(Engine())) as client:
        client.cookies.set("desk", token, domain=HOST.partition(":")[0])
        assert not await is_in(client)
    assert await is_in(visitor)


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_is_shown_to_a_stranger(visitor: httpx.AsyncClient, path: str) -> None:
    await asked(email="My secret")
    answer = await visitor.get(path)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/approvals/sign-in")
    fragment = await visitor.get("/approvals/waiting?list=&shown=1")
    assert (fragment.status_code, fragment.text) == (403, "Signed out.")


async def test_a_decision_of_somebody_who_was_signed_out_is_none_and_leads_back(visitor: httpx.AsyncClient) -> None:
    refund_id = await asked()
    await sign_in(visitor)
    form = fields(await visitor.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    await db.fetch("delete from reviewer_sessions")
    answer = await visitor.post(f"/approvals/{refund_id}/decision", data=form)
    assert answer.headers["location"] == f"/approvals/sign-in?refund={refund_id}"
    assert (await in_ledger(refund_id))[0] == "pending"


# Guessing


async def pass_time(seconds: float) -> None:
    """Let the tries so far be so much older."""
    await db.fetch("update sign_in_tries set at = at - $1 * interval '1 second'", seconds)


async def statuses(client: httpx.AsyncClient, tries: int, password: str = WRONG) -> list[int]:
    return [(await sign_in(client, "ada", password)).status_code for _ in range(tries)]


async def test_a_strangers_guesses_keep_nobody_waiting_at_another_address(app: fastapi.FastAPI) -> None:
    async with browser(app, address="192.0.2.1") as stranger, browser(app, address="192.0.2.2") as ada:
        assert (await statuses(stranger, 20))[-1] == 429
        assert await statuses(ada, 1, password=PASSWORD) == [303]


async def test_guesses_at_a_name_become_slow_and_never_end(app: fastapi.FastAPI) -> None:
    waits: list[int] = []
    async with browser(app) as client:
        assert await statuses(client, 5) == [403] * 5
        for _ in range(9):
            answer = await sign_in(client, "ada", "wrong")
            assert answer.status_code == 429
            waits.append(int(answer.headers["retry-after"]))
            assert f"Try again in {waits[-1]} s." in words(answer)
            await pass_time(waits[-1])
            assert await statuses(client, 1) == [403]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        await pass_time(60)
        assert await statuses(client, 1, password=PASSWORD) == [303]


async def test_a_refused_try_does_not_make_the_wait_longer(app: fastapi.FastAPI) -> None:
    async with browser(app) as client:
        # Few enough to come within the second for which the sixth has to wait.
        assert await statuses(client, 8) == [403] * 5 + [429] * 3
        await pass_time(1)
        assert await statuses(client, 1, password=PASSWORD) == [303]


async def test_an_address_that_tries_many_names_becomes_slow(app: fastapi.FastAPI) -> None:
    for number in range(31):
        async with browser(app, address=f"2001:db8::{number:x}") as client:
            assert (await sign_in(client, f"name{number}", "x")).status_code == (403 if number < 30 else 429)
    async with browser(app, address="2001:db8:0:1::1") as neighbour:
        assert (await sign_in(neighbour)).status_code == 303


async def test_the_count_holds_across_processes(app: fastapi.FastAPI, configured: None) -> None:
    async with browser(app) as one, browser(application(Engine())) as another:
        assert await statuses(one, 3) + await statuses(another, 3) == [403] * 5 + [429]


async def test_of_guesses_made_at_once_no_more_are_checked_than_one_after_the_other(
    app: fastapi.FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[object] = []
    monkeypatch.setattr(PasswordHasher, "verify", lambda *_: checks.append(1))
    async with browser(app) as client:
        form = fields(await client.get("/approvals/sign-in"), "main form") | {"name": "ada", "password": "x"}
        await asyncio.gather(*(client.post("/approvals/sign-in", data=form) for _ in range(30)))
    assert len(checks) <= 5


async def test_the_right_password_clears_the_count_of_its_name(visitor: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert await statuses(visitor, 4) == [403] * 4
        assert (await sign_in(visitor)).status_code == 303
        form = fields(await visitor.get("/approvals"), "form[data-sign-out]")
        await visitor.post("/approvals/sign-out", data=form)
    assert await db.fetch("select from sign_in_tries") == []


async def test_after_a_quarter_of_an_hour_tries_are_forgotten(visitor: httpx.AsyncClient) -> None:
    await statuses(visitor, 5)
    await pass_time(901)
    assert await statuses(visitor, 5) == [403] * 5
    assert len(await db.fetch("select from sign_in_tries")) == 5


async def test_failed_sign_ins_are_logged_and_what_was_typed_is_not(
    visitor: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await statuses(visitor, 6)
        await sign_in(visitor, "my password by mistake", "wrong")
    said = [record.message for record in caplog.records if record.name == "customer-support"]
    assert said == [
        *["Sign-in of ada from 127.0.0.1 failed"] * 5,
        "Sign-in of ada from 127.0.0.1 has to wait for 1 seconds",
        "Sign-in of an unknown name from 127.0.0.1 failed",
    ]
    assert "mistake" not in str(await db.fetch("select * from sign_in_tries"))


# Forms of other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[x"},
        {"origin": HOST},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"},
    ],
)
async def test_a_form_that_another_site_sends_does_nothing(visitor: httpx.AsyncClient, headers: dict[str, str]) -> None:
    refund_id = await asked()
    await sign_in(visitor)
    form = fields(await visitor.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    for path in (f"/approvals/{refund_id}/decision", "/approvals/sign-out", "/approvals/sign-in"):
        answer = await visitor.post(path, data=form | {"name": "grace", "password": PASSWORD}, headers=headers)
        assert answer.status_code == 403
    assert (await in_ledger(refund_id))[0] == "pending"
    assert await sessions() == ["ada"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HOST}"},
        {"origin": f"https://{HOST}"},
        {"origin": f"https://{HOST}", "sec-fetch-site": "same-origin"},
        {"origin": "https://desk.example", "sec-fetch-site": "same-origin", "host": "internal:8000"},
    ],
)
async def test_a_form_of_our_own_is_accepted_whatever_is_between_the_browser_and_us(
    visitor: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    refund_id = await asked()
    await sign_in(visitor)
    form = fields(await visitor.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    assert (await visitor.post(f"/approvals/{refund_id}/decision", data=form, headers=headers)).status_code == 303


@pytest.mark.parametrize("field", ["csrf", "name", "password"])
@pytest.mark.parametrize(("charset", "typed"), [("unicode_escape", r"\ud800"), ("idna", "xn--a"), ("utf-8", "x")])
async def test_a_form_that_names_its_own_charset_is_not_read(
    visitor: httpx.AsyncClient, field: str, charset: str, typed: str
) -> None:
    form = fields(await visitor.get("/approvals/sign-in"), "main form") | {"name": "ada", "password": PASSWORD}
    form[field] = typed
    parts = (f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{form[name]}\r\n' for name in form)
    content_type = {"content-type": f"Multipart/form-data; boundary=b; charset={charset}"}
    answer = await visitor.post("/approvals/sign-in", content="".join(parts) + "--b--\r\n", headers=content_type)
    assert answer.status_code == 400
    assert await sessions() == []


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é", "another's"])
async def test_a_form_without_this_visitors_token_does_nothing(
    app: fastapi.FastAPI, visitor: httpx.AsyncClient, token: str | None
) -> None:
    refund_id = await asked()
    await sign_in(visitor)
    form = fields(await visitor.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    if token == "another's":
        async with browser(app) as other:
            await sign_in(other, "grace")
            token = fields(await other.get(f"/approvals/{refund_id}"))["csrf"]
    form = {name: value for name, value in form.items() if name != "csrf"} | ({} if token is None else {"csrf": token})
    before = await sessions()
    for path in (f"/approvals/{refund_id}/decision", "/approvals/sign-out", "/approvals/sign-in"):
        answer = await visitor.post(path, data=form | {"name": "grace", "password": PASSWORD})
        assert answer.status_code == 403
        assert (f'href="/approvals/{refund_id}"' in answer.text) == ("decision" in path)
    assert (await in_ledger(refund_id))[0] == "pending"
    assert await sessions() == before


# Cookies


async def test_outside_dev_mode_the_cookie_is_for_this_host_over_https_only(configured: None) -> None:
    async with browser(application(Engine(), dev=False), scheme="https") as client:
        answer = await sign_in(client)
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("__host-desk=")
        parts = {part.strip() for part in cookie.split(";")[1:]}
        assert parts == {"httponly", "max-age=43200", "path=/", "samesite=lax", "secure"}
        assert await is_in(client)


async def test_in_dev_mode_the_cookie_works_without_https_and_scripts_still_do_not_see_it(
    visitor: httpx.AsyncClient,
) -> None:
    cookie = (await sign_in(visitor)).headers["set-cookie"].lower()
    assert {part.strip() for part in cookie.split(";")[1:]} == {"httponly", "max-age=43200", "path=/", "samesite=lax"}


# Without configuration


@pytest.mark.parametrize("path", [*PAGES, "/approvals/sign-in", "/approvals/waiting"])
async def test_without_reviewers_the_desk_is_closed_outside_dev_mode(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEWERS", "  ")
    await asked(email="My secret")
    async with browser(application(Engine(), dev=False), scheme="https") as client:
        for answer in (await client.get(path), await client.post("/approvals/sign-in", data={"name": "x"})):
            assert answer.status_code == 403
            assert "REVIEWERS" in answer.text
            assert "secret" not in answer.text
        assert (await client.post("/approvals/1/decision", data={"decision": "approve"})).status_code == 403
    assert (await in_ledger(1))[0] == "pending"


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> fastapi.FastAPI:
    monkeypatch.delenv("REVIEWERS", raising=False)
    return application(Engine(), dev=True)


async def test_in_dev_mode_without_reviewers_this_machine_decides_without_sign_in(open_app: fastapi.FastAPI) -> None:
    refund_id = await asked()
    async with browser(open_app) as client:
        assert (await decide(client, refund_id)).status_code == 303
        assert (await client.get("/approvals/sign-in")).headers["location"] == "/approvals"
        assert (await client.post("/approvals/sign-in", data={})).headers["location"] == "/approvals"
    assert await in_ledger(refund_id) == ("approved", 4900, "dev-mode reviewer", "")
    assert await sessions() == []


async def test_the_open_desk_still_wants_its_own_forms(open_app: fastapi.FastAPI) -> None:
    refund_id = await asked()
    async with browser(open_app) as client:
        form = fields(await client.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
        path = f"/approvals/{refund_id}/decision"
        assert (await client.post(path, data=form | {"csrf": "0" * 64})).status_code == 403
        assert (await client.post(path, data=form, headers={"origin": "http://evil.example"})).status_code == 403
        client.cookies.clear()
        assert (await client.post(path, data=form)).status_code == 403
    assert (await in_ledger(refund_id))[0] == "pending"


@pytest.mark.parametrize("address", ["192.168.1.7", "172.17.0.1", "2001:db8::1", "testclient", ""])
async def test_the_open_desk_is_closed_to_other_machines(open_app: fastapi.FastAPI, address: str) -> None:
    async with browser(open_app, address=address) as client:
        assert (await client.get("/approvals")).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil", "[x"]
)
async def test_the_open_desk_is_closed_to_names_that_only_lead_here(open_app: fastapi.FastAPI, host: str) -> None:
    async with browser(open_app) as client:
        assert (await client.get("/approvals", headers={"host": host})).status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        ("Forwarded", "for=198.51.100.7"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "desk.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 tunnel"),
    ],
)
async def test_the_open_desk_is_closed_to_what_a_tunnel_brings(
    open_app: fastapi.FastAPI, header: tuple[str, str]
) -> None:
    async with browser(open_app) as client:
        assert (await client.get("/approvals", headers=dict([header]))).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
async def test_the_open_desk_answers_to_the_names_of_this_machine(open_app: fastapi.FastAPI, host: str) -> None:
    async with browser(open_app, address="::1") as client:
        assert (await client.get("/approvals", headers={"host": host})).status_code == 200


# REVIEWERS


@pytest.mark.parametrize(
    "value",
    [
        "ada",
        "ada:",
        ":x",
        "ada:plain",
        f"ada:{CONFIGURED.split(':')[1][:30]}",
        f"nobody:{CONFIGURED.partition(':')[2]}",
        "ada:$argon2i$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "ada:2id=19=8,t=1,p=1",
        f"{CONFIGURED} {CONFIGURED}",
        f"a/da:{CONFIGURED.partition(':')[2]}",
        f"{'a' * 65}:{CONFIGURED.partition(':')[2]}",
    ],
    # The values would not do as ids: their salt differs between processes, which must name the tests alike.
    ids=range(11),
)
def test_an_unusable_entry_is_refused_in_one_line_that_shows_no_hash(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEWERS", value)
    with pytest.raises(SystemExit, match="REVIEWERS") as refused:
        settings.check()
    assert "\n" not in str(refused.value)
    assert "m=8" not in str(refused.value)


def test_entries_are_read_whatever_space_is_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWERS", "\n  " + CONFIGURED.replace(" ", "\n\t") + "  ")
    assert list(settings.reviewers()) == ["ada", "grace"]


def test_the_command_prints_an_entry_that_signs_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reviewers", "linus"])
    monkeypatch.setattr(reviewers, "getpass", lambda _: PASSWORD)
    reviewers._main()
    monkeypatch.setenv("REVIEWERS", capsys.readouterr().out.strip())
    assert PasswordHasher().verify(settings.reviewers()["linus"], PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [([], []), (["a b"], []), (["x:y"], []), (["ada"], ["short"]), (["ada"], [PASSWORD, "another password"])],
)
def test_the_command_prints_nothing_for_a_bad_name_or_password(
    arguments: list[str], typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reviewers", *arguments])
    answers = iter(typed)
    monkeypatch.setattr(reviewers, "getpass", lambda _: next(answers))
    with pytest.raises(SystemExit) as ended:
        reviewers._main()
    assert ended.value.code
    assert capsys.readouterr().out == ""


def test_the_command_takes_no_option_for_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reviewers", "--help"])
    with pytest.raises(SystemExit, match="0"):
        reviewers._main()
    assert "NAME" in capsys.readouterr().out
