"""The stand-in asks an app for the same things, in the same words, as the official server did when it was recorded.

Compared is every request of a run, in order: the step that is asked for, the attempt, the stack, the stored steps,
the event and the protocol version. Ids, times and tracebacks are compared as such, not by value.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.durable.driver import OFFICIAL
from tests.durable.engine.recorded import normal
from tests.durable.engine.rig import Rig, recorded_app

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="the recordings are the official server's")

RECORDED = json.loads((Path(__file__).parent / "recorded" / "calls.json").read_text())
SAME = {"status", "output", "name", "data", "function_version", "source", "source_id"}
REST = json.loads((Path(__file__).parent / "recorded" / "rest.json").read_text())


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with recorded_app() as running:
        yield running


async def nothing(_: Rig) -> None:
    """The run ends by itself."""


async def retries(rig: Rig) -> None:
    await rig.advance(60)


async def go(rig: Rig) -> None:
    await rig.send("t/go", k="a", v=42)


async def two_more(rig: Rig) -> None:
    await rig.send("t/batch", i=1)
    await rig.send("t/batch", i=2)


async def cancelled(rig: Rig) -> None:
    await rig.send("t/cancel", k="z")
    await rig.advance(60)


async def debounced(rig: Rig) -> None:
    await rig.send("t/debounce", i=1)
    await rig.send("t/debounce", i=2)
    await rig.advance(3)


Then = Callable[[Rig], Awaitable[None]]
STORIES: dict[str, tuple[str, dict[str, Any], Then]] = {
    "steps": ("t/steps", {"k": "1"}, nothing),
    "retry": ("t/retry", {"k": "1"}, retries),
    "fail": ("t/fail", {"k": "1"}, retries),
    "fail-onfailure": ("t/onfailure", {"k": "1"}, nothing),
    "fail-onfailure-failure": ("t/onfailure", {"k": "1"}, nothing),
    "nonretriable": ("t/nonretriable", {"k": "1"}, nothing),
    "retryafter": ("t/retryafter", {"k": "1"}, retries),
    "crash-fn": ("t/fnerr", {"k": "1"}, retries),
    "sleep": ("t/sleep", {"k": "1"}, retries),
    "wait": ("t/wait", {"k": "a"}, go),
    "wait, timed out": ("t/wait", {"k": "b"}, retries),
    "send": ("t/send", {"k": "1"}, nothing),
    "invoke": ("t/invoke", {"k": "1"}, nothing),
    "callee": ("t/invoke", {"k": "1"}, nothing),
    "parallel": ("t/parallel", {"k": "1"}, nothing),
    "cancelme": ("t/cancelme", {"k": "y"}, cancelled),
    "timeouts": ("t/timeouts", {"k": "1"}, retries),
    "single": ("t/single", {"k": "s"}, retries),
    "batch": ("t/batch", {"i": 0}, two_more),
    "batch, timed out": ("t/batch", {"i": 3}, retries),
    "debounce": ("t/debounce", {"i": 0}, debounced),
    "filtered": ("t/filtered", {"n": 5}, nothing),
    "multi": ("t/m2", {}, nothing),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.conformance("Protocol", "The requests to an app follow each other as recorded.")
async def test_the_app_is_asked_for_what_the_official_server_asked_for(rig: Rig, story: str) -> None:
    event, data, then = STORIES[story]
    await rig.send(event, **data)
    await then(rig)
    function, expected = RECORDED["runs"][story]["function"], RECORDED["runs"][story]["requests"]
    made = [normal.request(c.query, c.body) for c in rig.calls if c.query["fnId"] == function]
    for requests in (made, expected):
        for request in requests:
            del request["event"]["data"]
        _forget_which_branch_was_first(requests)
    assert made == expected


async def test_an_invoked_function_sees_the_event_that_the_official_server_sends(rig: Rig) -> None:
    await rig.send("t/invoke")
    invoked = next(c.body["event"] for c in rig.calls if c.query["fnId"] == "rec-callee")
    assert normal.normal(invoked) == RECORDED["events"]["inngest/function.invoked"]


async def test_a_failure_handler_sees_the_event_that_the_official_server_sends(rig: Rig) -> None:
    await rig.send("t/onfailure", k="1")
    failed = next(c.body["event"] for c in rig.calls if c.query["fnId"] == "rec-fail-onfailure-failure")
    assert normal.normal(failed) == RECORDED["events"]["inngest/function.failed"]


@pytest.mark.conformance("Protocol", "The requests to an app have the recorded headers and fields.")
async def test_requests_have_the_recorded_headers_and_fields(rig: Rig) -> None:
    await rig.send("t/steps")
    call = rig.calls[-1]
    assert set(RECORDED["headers"]) <= set(call.headers)
    assert sorted(call.body["ctx"]) == RECORDED["ctx"]
    assert sorted(call.body) == RECORDED["body"]
    assert call.headers["x-run-id"] == call.body["ctx"]["run_id"]
    assert call.headers["x-inngest-req-version"] == str(call.body["version"]) == "2"


@pytest.mark.parametrize("number", [n for n, answer in enumerate(REST) if answer["path"] == "/e/test"])
async def test_an_event_is_answered_as_recorded(rig: Rig, number: int) -> None:
    recorded = REST[number]
    answer = await rig.http.post("/e/test", json=recorded["json"])
    assert (answer.status_code, normal.normal(answer.json())) == (recorded["status"], normal.normal(recorded["body"]))


@pytest.mark.conformance("Protocol", "REST v1 answers with the recorded fields.")
async def test_rest_answers_have_the_recorded_fields(rig: Rig) -> None:
    completed = await rig.send("t/steps", k="m")
    waiting = await rig.send("t/wait", k="mm")
    waiting_run, completed_run, event, runs, events = (REST[number]["body"] for number in (0, 1, 3, 4, 5))
    for path, recorded in {
        f"/v1/runs/{rig.run_of(waiting)}": waiting_run,
        f"/v1/runs/{rig.run_of(completed)}": completed_run,
        f"/v1/events/{completed}": event,
        f"/v1/events/{completed}/runs": runs,
        "/v1/events": events,
    }.items():
        mine, theirs = _first((await rig.http.get(path)).json()["data"]), _first(recorded["data"])
        assert set(theirs) <= set(mine), path
        for field in SAME & set(theirs):
            assert mine[field] == theirs[field], (path, field)


def _first(data: Any) -> dict[str, Any]:
    return dict(data[0] if isinstance(data, list) else data)


def _forget_which_branch_was_first(requests: list[dict[str, Any]]) -> None:
    """Parallel steps reach the app in any order, and end in any order."""
    if any(request["stepId"] != "step" for request in requests):
        requests[1:-1] = sorted(requests[1:-1], key=lambda request: str(request["stepId"]))
        requests[-1]["ctx"]["stack"]["stack"].sort()
