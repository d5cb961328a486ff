"""The HTTP face: statuses and bodies as recorded from the official server. Runs without database and model."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import inngest
import pytest

from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the engine."""
    async with httpx.AsyncClient(base_url=world.server.origin) as client:
        yield client


def sleeper(world: World) -> None:
    """A function that sleeps for an hour between two steps."""

    @world.on("go", "sleeper")
    async def handler(ctx: inngest.Context) -> Any:
        await ctx.step.run("a", note(world.log, "a", 1))
        await ctx.step.sleep("nap", timedelta(hours=1))
        return ctx.event.data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"data": {}}, "event name is empty"),
        ("x", "Request body must contain an event object or an array of event objects"),
        (
            {"name": "t/x", "data": "notobj"},
            "json: cannot unmarshal string into Go struct field raw.data of type map[string]interface {}",
        ),
    ],
)
async def test_a_bad_event_is_refused_in_the_recorded_words(
    world: World, http: httpx.AsyncClient, body: Any, error: str
) -> None:
    answer = await http.post("/e/test", json=body)
    assert (answer.status_code, answer.json()) == (400, {"ids": [""], "status": 400, "error": error})
    assert not world.server.events()


async def test_what_is_not_json_is_refused(world: World, http: httpx.AsyncClient) -> None:
    for content in (b"", b"{", b"\xff", b'{"name": "x", "data": {"n": NaN}}'):
        assert (await http.post("/e/test", content=content)).status_code == 400
    assert not world.server.events()


async def test_one_several_and_no_events_are_taken(http: httpx.AsyncClient) -> None:
    one = (await http.post("/e/test", json={"name": "a"})).json()
    several = (await http.post("/e/test", json=[{"name": "a"}, {"name": "b", "id": "mine"}])).json()
    none = (await http.post("/e/test", json=[])).json()
    assert (len(one["ids"]), len(several["ids"]), none) == (1, 2, {"ids": [""], "status": 200})
    assert len({*one["ids"], *several["ids"]}) == 3
    assert all(len(i) == 26 for i in several["ids"]), "internal ids, whatever id the sender chose"


async def test_more_than_five_thousand_events_are_refused_and_the_first_ones_are_taken(
    world: World, http: httpx.AsyncClient
) -> None:
    answer = (await http.post("/e/test", json=[{"name": "a"}] * 5001)).json()
    assert (answer["status"], answer["error"]) == (400, "Cannot have more than 5000 events in a batch")
    assert len(answer["ids"]) == len(world.server.events()) == 5000


async def test_an_event_of_more_than_three_megabytes_is_refused(world: World, http: httpx.AsyncClient) -> None:
    event = {"name": "a", "data": {"x": "x" * (3 * 1024 * 1024)}}
    answer = await http.post("/e/test", json=event)
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "Event is over the max size: Max 3145728 bytes / Size 3145756 bytes",
    )
    event["data"] = {"x": "x" * (3 * 1024 * 1024 - 100)}
    assert (await http.post("/e/test", json=event)).status_code == 200


async def test_internal_names_cannot_be_forged(world: World, http: httpx.AsyncClient) -> None:
    answer = await http.post("/e/test", json={"name": "inngest/function.failed", "data": {}})
    assert answer.status_code == 400
    assert not world.server.events(internal=True)


async def test_a_send_repeated_with_its_seed_is_the_same_delivery(world: World, http: httpx.AsyncClient) -> None:
    sleeper(world)
    await world.start()
    headers = {"x-inngest-event-id-seed": "1795205000000,AAECAwQFBgcICQ=="}
    answers = [(await http.post("/e/test", json=[{"name": "go"}], headers=headers)).json()["ids"] for _ in range(2)]
    await world.server.settle()
    assert answers[0] == answers[1]
    assert len(world.runs("sleeper")) == 1


async def test_a_run_can_be_followed_by_its_event(world: World, http: httpx.AsyncClient) -> None:
    sleeper(world)
    await world.start()
    event_id = (await http.post("/e/test", json={"name": "go", "data": {"k": 1}})).json()["ids"][0]
    await world.server.settle()
    (run,) = (await http.get(f"/v1/events/{event_id}/runs")).json()["data"]
    assert (run["status"], run["ended_at"], "output" in run) == ("Running", None, False)
    await world.advance(hours=1)
    run = (await http.get(f"/v1/runs/{run['run_id']}")).json()["data"]
    assert (run["status"], run["output"], run["event_id"]) == ("Completed", {"k": 1}, event_id)
    event = (await http.get(f"/v1/events/{event_id}")).json()["data"]
    assert (event["internal_id"], event["name"], event["data"]) == (event_id, "go", {"k": 1})
    listed = (await http.get("/v1/events", params={"limit": 5})).json()["data"]
    assert [e["name"] for e in listed] == ["go"], "internal events are not listed"


async def test_a_run_is_cancelled_over_http(world: World, http: httpx.AsyncClient) -> None:
    sleeper(world)
    await world.start()
    await world.sent("go")
    assert (await http.delete(f"/v1/runs/{world.run('sleeper').id}")).is_success
    await world.advance(hours=2)
    assert (world.run("sleeper").status, world.log) == (RunStatus.CANCELLED, ["a"])
    assert (await http.delete("/v1/runs/01M7X9YZ648JEZF1JW2SPNEAKW")).status_code == 404


async def test_runs_are_cancelled_in_bulk_by_function_time_and_expression(
    world: World, http: httpx.AsyncClient
) -> None:
    sleeper(world)
    await world.start()
    await world.sent("go", k="a")
    await world.sent("go", k="b")
    await world.advance(minutes=1)
    before = world.server.now().isoformat()
    await world.advance(minutes=1)
    await world.sent("go", k="a")
    body = {"app_id": "app", "function_id": "sleeper", "started_before": before, "if": "event.data.k == 'a'"}
    assert (await http.post("/v1/cancellations", json=body)).status_code == 200
    assert [run.status for run in world.runs("sleeper")] == [RunStatus.CANCELLED, RunStatus.RUNNING, RunStatus.RUNNING]
    assert (await http.post("/v1/cancellations", json=body | {"function_id": "x"})).status_code == 404
    assert (await http.post("/v1/cancellations", json={"app_id": "app"})).status_code == 400


async def test_a_function_is_invoked_by_its_slug(world: World, http: httpx.AsyncClient) -> None:
    sleeper(world)
    await world.start()
    event_id = (await http.post("/invoke/app-sleeper", json={"data": {"k": 1}})).json()["id"]
    await world.server.settle()
    assert world.run("sleeper").event.internal_id == event_id
    assert world.run("sleeper").event.data["k"] == 1


async def test_a_registration_that_cannot_work_is_refused_with_the_reason(http: httpx.AsyncClient) -> None:
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://127.0.0.1:1/api/inngest"}}
    for trigger, reason in (
        ({"cron": "not a cron"}, "app-f"),
        ({"cron": "TZ=Mars/Base 0 9 * * *"}, "Mars/Base"),
        ({"event": "go", "expression": "event.data.n >="}, "expression"),
    ):
        function = {"id": "app-f", "name": "f", "steps": {"step": step}, "triggers": [trigger]}
        answer = await http.post("/fn/register", json={"appname": "app", "url": "http://x", "functions": [function]})
        assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text


async def test_what_it_does_not_serve_names_the_official_server(http: httpx.AsyncClient) -> None:
    for path in ("/v1/signals", "/v9/anything"):
        answer = await http.post(path)
        assert answer.status_code == 404
        assert "inngest-cli@latest" in answer.text
    assert "not the official server" in (await http.get("/")).text
