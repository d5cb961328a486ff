"""Listing, rerunning and cancelling runs over the REST API v2, as recorded from the official server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import inngest
import pytest

from offline.inngest_server.core.state import RunStatus
from tests.durable.engine.world import World, note

UNKNOWN = "01M7X9YZ648JEZF1JW2SPNEAKW"


@pytest.fixture
async def v2(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    async with httpx.AsyncClient(base_url=f"{world.server.origin}/api/v2") as client:
        yield client


async def broken(world: World, **settings: Any) -> None:
    """A function that fails while `world.log` does not say that it is fixed."""

    @world.on("go", "broken", retries=0, **settings)
    async def handler(ctx: inngest.Context) -> int:
        await ctx.step.run("before", note(world.log, "before"))

        async def body() -> int:
            if "fixed" not in world.log:
                raise ValueError("broken")
            world.log.append("worked")
            return len(ctx.events)

        return await ctx.step.run("work", body)

    await world.start()


async def sleeper(world: World, **settings: Any) -> None:
    """A function that sleeps for an hour after its first step."""

    @world.on("go", "sleeper", **settings)
    async def handler(ctx: inngest.Context) -> None:
        await ctx.step.run("a", note(world.log, "a"))
        await ctx.step.sleep("nap", timedelta(hours=1))

    await world.start()


async def listed(v2: httpx.AsyncClient, **params: Any) -> list[str]:
    """The ids of the runs that match."""
    answer = await v2.get("/runs", params=params)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json().get("data", [])]


async def test_the_failed_runs_of_a_time_window_are_listed_and_run_again_on_the_fixed_code(
    world: World, v2: httpx.AsyncClient
) -> None:
    await broken(world)
    await world.sent("go")
    await world.advance(hours=1)
    start = world.server.now().isoformat()
    await world.sent("go")
    await world.advance(hours=1)
    end = world.server.now().isoformat()
    await world.advance(minutes=1)
    await world.sent("go")
    first, wanted, last = (run.id for run in world.runs("broken"))
    window = {"status": "FAILED", "appId": "app", "functionId": "broken", "from": start, "until": end}
    assert await listed(v2, **window) == [wanted]
    world.log.append("fixed")
    new_id = (await v2.post(f"/runs/{wanted}/rerun", json={})).json()["data"]["runId"]
    await world.server.settle()
    again = world.server.run(new_id)
    assert (again.status, again.original_run_id, again.event) == (
        RunStatus.COMPLETED,
        wanted,
        world.server.run(wanted).event,
    )
    assert world.log.count("before") == 4, "it begins at the beginning"
    assert await listed(v2, status="FAILED", order="ASC") == [first, wanted, last], (
        "a rerun changes nothing of the past"
    )


async def test_a_rerun_from_a_step_keeps_what_came_before(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world)
    await world.sent("go")
    world.log.append("fixed")
    path = f"/runs/{world.run('broken').id}/rerun"
    answer = await v2.post(path, json={"fromStep": {"stepId": "work"}})
    await world.server.settle()
    assert world.server.run(answer.json()["data"]["runId"]).output == 1
    assert world.log == ["before", "fixed", "worked"]
    refused = await v2.post(path, json={"fromStep": {"stepId": "nope"}})
    assert (refused.status_code, refused.json()) == (
        400,
        {"errors": [{"code": "invalid_request", "message": "Step not found in original run"}]},
    )
    assert (await v2.post(path, json={"nope": 1})).status_code == 400


async def test_a_rerun_of_a_rerun_names_the_first_run(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world)
    await world.sent("go")
    run_id = first = world.run("broken").id
    for _ in range(2):
        run_id = (await v2.post(f"/runs/{run_id}/rerun")).json()["data"]["runId"]
        await world.server.settle()
    assert world.server.run(run_id).original_run_id == first


async def test_a_batch_runs_again_with_its_first_event_only(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world, batch_events=inngest.Batch(max_size=3, timeout=timedelta(seconds=9)))
    for _ in range(3):
        world.send("go")
    await world.server.settle()
    assert len(world.run("broken").events) == 3
    (shown,) = (await v2.get("/runs")).json()["data"]
    assert (shown["trigger"]["isBatch"], len(shown["trigger"]["eventIds"])) == (True, 1)
    world.log.append("fixed")
    again = (await v2.post(f"/runs/{world.run('broken').id}/rerun")).json()["data"]["runId"]
    await world.server.settle()
    assert world.server.run(again).output == 1


async def test_a_missed_report_of_a_cron_is_run_again_for_its_own_tick(world: World, v2: httpx.AsyncClient) -> None:
    @world.on(inngest.TriggerCron(cron="0 9 * * 1"))
    async def weekly(ctx: inngest.Context) -> Any:
        return [ctx.event.name, ctx.event.id]

    await world.start()
    await world.advance(days=7)
    again = (await v2.post(f"/runs/{world.run('weekly').id}/rerun")).json()["data"]["runId"]
    await world.server.settle()
    assert world.server.run(again).output == world.runs("weekly")[0].output
    assert world.server.run(again).cron == "0 9 * * 1"


async def test_a_debounced_function_is_not_run_again(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world, debounce=inngest.Debounce(period=timedelta(seconds=2)))
    await world.sent("go")
    await world.advance(seconds=2)
    answer = await v2.post(f"/runs/{world.run('broken').id}/rerun")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (500, "Unable to rerun run")


async def test_a_rerun_passes_idempotency_and_rate_limit(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world, idempotency="event.data.k", rate_limit=inngest.RateLimit(limit=1, period=timedelta(hours=1)))
    await world.sent("go", k=1)
    await world.sent("go", k=1)
    world.log.append("fixed")
    again = (await v2.post(f"/runs/{world.run('broken').id}/rerun")).json()["data"]["runId"]
    await world.server.settle()
    assert world.server.run(again).status is RunStatus.COMPLETED


async def test_runs_are_listed_page_by_page(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world)
    for _ in range(5):
        await world.sent("go")
    found: list[str] = []
    cursor: dict[str, str] = {}
    for expected in (2, 2, 1):
        answer = (await v2.get("/runs", params={"limit": 2, "status": "FAILED", **cursor})).json()
        assert (len(answer["data"]), answer["page"].get("hasMore", False)) == (expected, expected == 2)
        found += [run["id"] for run in answer["data"]]
        cursor = {"cursor": answer["page"].get("cursor", "")}
    assert found == [run.id for run in reversed(world.runs("broken"))]


async def test_an_empty_list_has_no_data(v2: httpx.AsyncClient) -> None:
    answer = (await v2.get("/runs", params={"status": ["QUEUED", "RUNNING"]})).json()
    assert set(answer) == {"metadata", "page"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=Nope", "Status is invalid"),
        ("functionId=f", "appId is required when filtering by functionId"),
        ("limit=1000", "Limit cannot exceed 100"),
        ("cursor=x", "Cursor is invalid"),
        ("order=x", "order is invalid"),
        ("from=2027-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "from must be before until"),
    ],
)
async def test_a_wrong_filter_is_refused_in_the_recorded_words(v2: httpx.AsyncClient, query: str, message: str) -> None:
    answer = await v2.get(f"/runs?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, message)


async def test_the_id_an_author_wrote_finds_the_functions_runs_and_the_slug_does_not(
    world: World, v2: httpx.AsyncClient
) -> None:
    await broken(world)
    await world.sent("go")
    assert len(await listed(v2, appId="app", functionId="broken")) == 1
    assert await listed(v2, appId="app", functionId="app-broken") == []


async def test_sleeping_and_queued_runs_end_when_they_are_cancelled_and_no_step_follows(
    world: World, v2: httpx.AsyncClient
) -> None:
    await sleeper(world, throttle=inngest.Throttle(limit=1, burst=0, period=timedelta(hours=5)))
    await world.sent("go")
    await world.sent("go")
    active = await listed(v2, status=["QUEUED", "RUNNING"])
    assert [world.server.run(i).status for i in active] == [RunStatus.SCHEDULED, RunStatus.RUNNING]
    for run_id in active:
        assert (await v2.post(f"/runs/{run_id}/cancel", json={})).json()["data"] == {"runId": run_id}
    await world.advance(hours=9)
    assert {run.status for run in world.runs("sleeper")} == {RunStatus.CANCELLED}
    assert world.log == ["a"]


async def test_what_is_over_cannot_be_cancelled(world: World, v2: httpx.AsyncClient) -> None:
    await broken(world)
    await world.sent("go")
    await world.stop()
    await sleeper(world)
    await world.sent("go")
    failed, asleep = world.runs("broken")[0].id, world.run("sleeper").id
    codes = []
    for run_id in (asleep, asleep, failed, UNKNOWN, "nonsense"):
        answer = await v2.post(f"/runs/{run_id}/cancel")
        codes.append((answer.status_code, answer.json().get("errors", [{}])[0].get("code")))
    assert codes == [
        (200, None),
        (409, "run_already_cancelled"),
        (409, "run_already_ended"),
        (404, "not_found"),
        (400, "invalid_field_format"),
    ]
    assert [(await v2.post(f"/runs/{i}/rerun")).status_code for i in (UNKNOWN, "nonsense")] == [404, 400]


async def test_cancellations_in_bulk_are_listed_deleted_and_refused_in_the_recorded_words(world: World) -> None:
    await sleeper(world)
    await world.sent("go")
    now = world.server.now().isoformat()
    good = {"app_id": "app", "function_id": "sleeper", "started_before": now}
    async with httpx.AsyncClient(base_url=f"{world.server.origin}/v1") as v1:
        made = (await v1.post("/cancellations", json=good)).json()["data"]
        assert world.run("sleeper").status is RunStatus.CANCELLED
        assert (await v1.get("/cancellations")).json()["data"] == [made]
        assert [(await v1.delete(f"/cancellations/{made['id']}")).status_code for _ in range(2)] == [200, 404]
        wrong: tuple[tuple[Any, str], ...] = (
            ({}, "app_id is required\nfunction_id is required\nstarted_before is required"),
            (good | {"started_before": "2099-01-01T00:00:00Z"}, "started_before must be in the past"),
            (good | {"started_after": "2099-01-01T00:00:00Z"}, "started_after must be before started_before"),
            (good | {"started_before": "yesterday"}, "Invalid cancellation request"),
            ([], "Invalid cancellation request"),
        )
        for body, message in wrong:
            answer = await v1.post("/cancellations", json=body)
            assert (answer.status_code, answer.json()["error"]) == (400, message)


async def test_apps_functions_and_the_server_itself_are_found(world: World, v2: httpx.AsyncClient) -> None:
    await sleeper(world)
    assert (await v2.get("/apps/app")).json()["data"]["functionCount"] == 1
    assert [f["id"] for f in (await v2.get("/apps/app/functions")).json()["data"]] == ["sleeper"]
    assert (await v2.get("/apps/nope")).status_code == (await v2.get("/apps/app/functions/nope")).status_code == 404
    assert (await v2.get("/health")).json()["data"] == {"status": "ok"}


async def test_an_event_and_an_invocation_can_be_sent(world: World, v2: httpx.AsyncClient) -> None:
    await sleeper(world)
    event_id = (await v2.post("/events", json={"name": "go", "data": {"k": 1}})).json()["data"]["eventId"]
    run_id = (await v2.post("/apps/app/functions/sleeper/invoke", json={"data": {"k": 2}})).json()["data"]["runId"]
    await world.server.settle()
    assert world.server.run(run_id).event.data["k"] == 2
    (by_event,) = (await v2.get(f"/events/{event_id}/runs")).json()["data"]
    assert {by_event["id"], run_id} == {run.id for run in world.runs("sleeper")}
    assert (await v2.post("/events", json={"data": {}})).status_code == 400
