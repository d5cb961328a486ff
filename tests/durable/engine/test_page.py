"""The stand-in's page over HTTP: what it shows, what it does, and what it refuses. `tests/e2e/browser` clicks on it."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import inngest
import pytest

from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the engine, which asks as a program does."""
    async with httpx.AsyncClient(base_url=world.server.origin, follow_redirects=True) as client:
        yield client


@pytest.fixture
async def sleeper(world: World) -> World:
    """An app with a function that runs a step, sleeps for four hours and waits for an event."""

    @world.on("go", "sleeper", retries=1)
    async def handler(ctx: inngest.Context) -> Any:
        await ctx.step.run("first", note(world.log, "first", {"said": ctx.event.data.get("text")}))
        if ctx.event.data.get("fail"):
            raise ValueError(HOSTILE)
        await ctx.step.sleep("nap", timedelta(hours=4))
        await ctx.step.wait_for_event("answer", event="go/on", timeout=timedelta(hours=2), if_exp="async.data.x == 1")
        return "done"

    await world.start()
    return world


async def test_a_runs_page_shows_its_steps_and_how_long_it_still_sleeps(
    sleeper: World, http: httpx.AsyncClient
) -> None:
    await sleeper.sent("go", text="hello")
    run = sleeper.run("sleeper")
    page = (await http.get(f"/runs/{run.id}")).text
    assert "hello" in page
    # On a busy machine some of the four hours is over by now.
    sleeps = re.compile("sleeps for another (4 h|3 h 59 min)")
    assert sleeps.search(page)
    assert sleeps.search((await http.get("/")).text)
    answer = await http.post("/clock", data={"by": "4h"}, headers={"referer": f"{sleeper.server.origin}/runs/{run.id}"})
    assert answer.url.path == f"/runs/{run.id}"
    assert re.search("waits for go/on if async.data.x == 1, for another (2 h|1 h 59 min)", answer.text)
    assert 'value="go/on"' in (await http.get(re.findall(r'href="(/events\?name=go/on)"', answer.text)[0])).text
    (to_then,) = re.findall(r'value="(\d+s)">Move the clock to then', answer.text)
    await http.post("/clock", data={"by": to_then})
    assert run.status is RunStatus.COMPLETED
    assert "&#34;done&#34;" in (await http.get(f"/runs/{run.id}")).text


async def test_an_event_can_be_sent_and_a_function_invoked(sleeper: World, http: httpx.AsyncClient) -> None:
    answer = await http.post("/events", data={"name": "go", "id": "mine", "data": '{"text": "from a form"}'})
    assert answer.url.path == "/events"
    assert "from a form" in answer.text
    assert "no function has this name" not in answer.text
    assert "no function has this name" in (await http.post("/events", data={"name": "typo"})).text
    answer = await http.post("/functions/app-sleeper/invoke", data={"data": '{"text": "by hand"}'})
    assert answer.url.path.startswith("/runs/")
    await sleeper.server.settle()
    assert [run.event.data["text"] for run in sleeper.runs("sleeper")] == ["from a form", "by hand"]
    assert "app-sleeper" in (await http.get("/functions")).text


async def test_a_run_can_be_cancelled_and_run_again_from_a_step_on(sleeper: World, http: httpx.AsyncClient) -> None:
    await sleeper.sent("go", text="hello")
    run = sleeper.run("sleeper")
    assert "CANCELLED" in (await http.post(f"/runs/{run.id}/cancel")).text
    nap = next(step.id for step in run.steps.values() if step.name == "nap")
    answer = await http.post(f"/runs/{run.id}/rerun", data={"from_step": nap})
    assert f"/runs/{run.id}" in answer.text
    await sleeper.server.settle()
    assert sleeper.log == ["first"]
    assert len(sleeper.runs("sleeper")) == 2


async def test_a_failed_runs_page_shows_each_attempt_and_when_the_next_one_is(
    sleeper: World, http: httpx.AsyncClient
) -> None:
    await sleeper.sent("go", fail=True)
    run = sleeper.run("sleeper")
    page = (await http.get(f"/runs/{run.id}")).text
    assert "Attempt 1: failed" in page
    assert "Next attempt" in page
    await sleeper.advance(minutes=1)
    page = (await http.get(f"/runs/{run.id}")).text
    assert "Attempt 2: failed" in page
    assert "ValueError" in page
    assert run.id in (await http.get("/runs?status=failed")).text
    assert run.id not in (await http.get("/runs?status=completed")).text


async def test_hostile_text_is_shown_and_never_becomes_markup(sleeper: World, http: httpx.AsyncClient) -> None:
    await sleeper.sent("go", text=HOSTILE, fail=True)
    await sleeper.sent(HOSTILE, **{HOSTILE: HOSTILE})
    for path in (
        "/",
        "/events",
        "/events?internal=1",
        f"/runs/{sleeper.run('sleeper').id}",
        f"/runs?function={HOSTILE}",
    ):
        answer = await http.get(path)
        assert answer.status_code == 200
        assert "alert(1)" in answer.text or path == "/"
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        # The name of another site that leads to this machine.
        {"origin": "http://evil.example:8288", "host": "evil.example:8288", "sec-fetch-site": "same-origin"},
    ],
)
async def test_another_sites_page_can_do_nothing(
    sleeper: World, http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in ("/events", "/clock", "/functions/app-sleeper/invoke"):
        answer = await http.post(path, data={"name": "go", "by": "1h"}, headers=headers)
        assert answer.status_code == 403
    assert not sleeper.server.events(internal=True)
    assert sleeper.server.clock.offset == 0.0


@pytest.mark.parametrize("host", ["127.0.0.1:8288", "localhost:8288", "[::1]:8288"])
async def test_the_pages_own_forms_are_taken(sleeper: World, http: httpx.AsyncClient, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    answer = await http.post("/events", data={"name": "go"}, headers=headers, follow_redirects=False)
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/events", {"name": "", "data": "{}"}, "event name is empty"),
        ("/events", {"name": "go", "data": "{"}, "The data is not JSON"),
        ("/events", {"name": "go", "data": "[]"}, "has to be a JSON object"),
        ("/clock", {"duration": "tomorrow"}, "not a duration"),
        ("/clock", {"duration": "9000y"}, "How far?"),
        ("/clock", {}, "How far?"),
        ("/functions/nobody/invoke", {}, "function not found"),
        ("/runs/nobody/rerun", {}, "run not found"),
        ("/runs/nobody/cancel", {}, "run not found"),
    ],
)
async def test_what_cannot_be_done_is_said(
    http: httpx.AsyncClient, path: str, fields: dict[str, str], said: str
) -> None:
    answer = await http.post(path, data=fields)
    assert answer.status_code == 400
    assert said in answer.text


async def test_the_page_says_that_it_is_not_the_official_one(http: httpx.AsyncClient) -> None:
    for path in ("/", "/runs", "/functions", "/events"):
        assert "A stand-in for the Inngest dev server" in (await http.get(path)).text
    assert (await http.get("/runs/nobody")).status_code == 404
