"""`/v0/gql` answers the queries that the Python SDK's own tests and people's tools ask the official server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.durable.driver import OFFICIAL
from tests.durable.engine.rig import Rig, recorded_app

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="drives the stand-in inside this process")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with recorded_app() as running:
        yield running


async def ask(rig: Rig, query: str, **variables: Any) -> Any:
    """The data of an answer without errors."""
    answer = (await rig.http.post("/v0/gql", json={"query": query, "variables": variables})).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


async def spans(rig: Rig, run_id: str) -> dict[str, Any]:
    fields = "name status stepOp attempts outputID childrenSpans { name status outputID }"
    answer = await ask(
        rig, f"query ($id: String!) {{ run(runID: $id) {{ trace {{ childrenSpans {{ {fields} }} }} }} }}", id=run_id
    )
    return {span["name"]: span for span in answer["run"]["trace"]["childrenSpans"]}


async def output(rig: Rig, output_id: str) -> Any:
    query = "query ($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { name message stack } } }"
    return (await ask(rig, query, id=output_id))["runTraceSpanOutputByID"]


async def test_an_event_leads_to_its_runs(rig: Rig) -> None:
    event_id = await rig.send("t/m1")
    query = "query ($id: ID!) { event(query: {eventId: $id}) { name functionRuns { id status output } } }"
    event = (await ask(rig, query, id=event_id))["event"]
    assert event == {
        "name": "t/m1",
        "functionRuns": [{"id": rig.run_of(event_id), "status": "COMPLETED", "output": '"t/m1"'}],
    }
    assert (await ask(rig, query, id="unknown"))["event"] is None


async def test_a_run_has_status_output_and_what_triggered_it(rig: Rig) -> None:
    run_id = rig.run_of(await rig.send("t/steps", k="m"))
    query = """query ($id: String!) {
      run(runID: $id) { output status function { slug app { externalID } } }
      runTrigger(runID: $id) { payloads isBatch eventName }
    }"""
    answer = await ask(rig, query, id=run_id)
    assert json.loads(answer["run"].pop("output")) == {"a": {"v": 1}, "b": {"v": 1}}
    assert answer["run"] == {"status": "COMPLETED", "function": {"slug": "rec-steps", "app": {"externalID": "rec"}}}
    (payload,) = map(json.loads, answer["runTrigger"].pop("payloads"))
    assert (payload["name"], payload["data"]) == ("t/steps", {"k": "m"})
    assert answer["runTrigger"] == {"isBatch": False, "eventName": "t/steps"}


async def test_a_run_has_ended_when_it_finished_and_not_before(rig: Rig) -> None:
    query = "query ($id: String!) { run(runID: $id) { queuedAt startedAt endedAt finishedAt } }"
    done = (await ask(rig, query, id=rig.run_of(await rig.send("t/steps"))))["run"]
    assert done["queuedAt"] <= done["startedAt"] <= done["endedAt"] == done["finishedAt"]
    waiting = (await ask(rig, query, id=rig.run_of(await rig.send("t/wait", k="x"))))["run"]
    assert waiting["startedAt"]
    assert (waiting["endedAt"], waiting["finishedAt"]) == (None, None)


async def test_a_step_leads_to_its_output(rig: Rig) -> None:
    steps = await spans(rig, rig.run_of(await rig.send("t/steps")))
    assert list(steps) == ["a", "b", "Finalization"]
    assert (steps["a"]["status"], steps["a"]["stepOp"]) == ("COMPLETED", "RUN")
    assert await output(rig, steps["a"]["outputID"]) == {"data": '{"v": 1}', "error": None}


async def test_a_failed_step_leads_to_the_error_of_each_attempt(rig: Rig) -> None:
    run_id = rig.run_of(await rig.send("t/fail"))
    await rig.advance(60)
    boom = (await spans(rig, run_id))["boom"]
    assert (boom["status"], boom["attempts"], len(boom["childrenSpans"])) == ("FAILED", 1, 2)
    for span in (boom, *boom["childrenSpans"]):
        told = await output(rig, span["outputID"])
        assert told["data"] is None
        assert (told["error"]["name"], told["error"]["message"]) == ("ValueError", "always")


async def test_a_wait_tells_what_it_waits_for_and_what_came(rig: Rig) -> None:
    run_id = rig.run_of(await rig.send("t/wait", k="a"))
    query = """query ($id: String!) { runTrace(runID: $id) { childrenSpans { status stepInfo {
      ... on WaitForEventStepInfo { eventName expression timedOut foundEventID } } } } }"""
    waiting = (await ask(rig, query, id=run_id))["runTrace"]["childrenSpans"][0]
    info = {"eventName": "t/go", "expression": "event.data.k == async.data.k"}
    assert waiting == {"status": "WAITING", "stepInfo": info | {"timedOut": None, "foundEventID": None}}
    came = await rig.send("t/go", k="a")
    woken = (await ask(rig, query, id=run_id))["runTrace"]["childrenSpans"][0]
    assert woken == {"status": "COMPLETED", "stepInfo": info | {"timedOut": False, "foundEventID": came}}


async def test_apps_and_functions_are_listed(rig: Rig) -> None:
    answer = await ask(
        rig,
        """{ apps { externalID sdkLanguage connected functionCount functions { slug } }
        functionBySlug(query: {functionSlug: "rec-cron"}) { name triggers { type value } } }""",
    )
    (app,) = answer["apps"]
    assert (app["externalID"], app["sdkLanguage"], app["connected"]) == ("rec", "py", True)
    assert app["functionCount"] == len(app["functions"]) == 28
    assert answer["functionBySlug"] == {"name": "cron", "triggers": [{"type": "CRON", "value": "0 9 * * *"}]}


async def test_runs_are_listed_in_pages_and_filtered(rig: Rig) -> None:
    made = [rig.run_of(await rig.send("t/m1", i=i)) for i in range(3)]
    waiting = rig.run_of(await rig.send("t/wait", k="x"))
    query = """query ($first: Int!, $after: String, $status: [RunStatus!]) {
      runs(first: $first, after: $after, orderBy: [{field: QUEUED_AT, direction: ASC}], filter: {status: $status}) {
        edges { node { id } } pageInfo { hasNextPage endCursor } totalCount } }"""
    first = (await ask(rig, query, first=2, status=["COMPLETED"]))["runs"]
    assert [edge["node"]["id"] for edge in first["edges"]] == made[:2]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)
    rest = (await ask(rig, query, first=2, after=first["pageInfo"]["endCursor"], status=["COMPLETED"]))["runs"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == made[2:]
    assert [e["node"]["id"] for e in (await ask(rig, query, first=9, status=["RUNNING"]))["runs"]["edges"]] == [waiting]


async def test_a_query_that_does_not_fit_is_refused(rig: Rig) -> None:
    for query in ("{ nonsense }", "{"):
        answer = await rig.http.post("/v0/gql", json={"query": query})
        assert (answer.status_code, answer.json()["data"]) == (422, None)
        assert answer.json()["errors"][0]["message"]
    assert (await rig.http.post("/v0/gql", content=b"not json")).status_code == 400
