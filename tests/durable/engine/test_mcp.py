"""The MCP endpoint answers a real MCP client as the official server was recorded to answer."""

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent

from offline.inngest_server import DevServer, views
from tests.durable.driver import OFFICIAL
from tests.durable.engine.recorded.normal import normal
from tests.durable.engine.rig import Rig, recorded_app

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="the recordings are the official server's")

RECORDED = json.loads((Path(__file__).parent / "recorded" / "mcp.json").read_text())
UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Tools:
    """Calls tools as a coding agent does, over a connection of its own each time."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.url = f"{rig.engine.origin}/mcp"

    async def raw(self, tool: str, /, **args: Any) -> CallToolResult:
        async with Client(self.url) as client:
            return await client.call_tool(tool, args)

    async def __call__(self, tool: str, /, **args: Any) -> Any:
        result = await self.raw(tool, **args)
        assert not result.is_error, text(result)
        return result.structured_content

    async def send(self, name: str, **data: Any) -> tuple[str, str]:
        """Send an event; its id and that of the one run it started."""
        sent = await self("send_event", name=name, data=data)
        await self.rig.engine.settle()
        (run_id,) = sent["runIds"]
        return sent["eventId"], run_id


@pytest.fixture
async def call() -> AsyncIterator[Tools]:
    async with recorded_app() as rig:
        yield Tools(rig)


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def recorded(tool: str, **args: Any) -> dict[str, Any]:
    """The recorded answer of a tool, the first one whose arguments include `args`."""
    return next(a for a in RECORDED["answers"] if a["tool"] == tool and args.items() <= a["args"].items())


def fields(value: Any) -> Any:
    """Which fields an answer has, at every depth; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: fields(item) for name, item in value.items()}
    if isinstance(value, list):
        return [fields(item) for item in value[:1]]
    return type(value).__name__


@pytest.mark.conformance("Protocol", "MCP has the recorded tools, with the same parameters.")
async def test_the_tools_are_the_official_ones_with_the_same_parameters(call: Tools) -> None:
    async with Client(call.url) as client:
        tools = (await client.list_tools()).tools
    listed = [
        {
            "name": tool.name,
            "title": tool.title,
            "input_schema": _without_descriptions(tool.input_schema),
            "annotations": tool.annotations.model_dump() if tool.annotations else None,
        }
        for tool in tools
    ]
    assert listed == RECORDED["tools"]


async def test_a_sent_event_names_the_runs_it_started(call: Tools) -> None:
    sent = await call.raw("send_event", name="t/steps", data={"k": "m"})
    expected = recorded("send_event", name="t/steps")
    assert normal(text(sent)) == normal(expected["text"])
    assert normal(sent.structured_content) == normal(expected["structured"])


async def test_an_event_without_functions_says_so(call: Tools) -> None:
    sent = await call.raw("send_event", name="t/nobody")
    assert text(sent).endswith("\nNo functions were triggered by this event")
    assert "runIds" not in sent.structured_content


async def test_event_data_that_is_no_object_is_wrapped(call: Tools) -> None:
    sent = await call("send_event", name="t/multi", data=7)
    assert call.rig.engine.state.events[sent["eventId"]].data == {"value": 7}


async def test_the_same_seed_is_the_same_event_and_starts_nothing_twice(call: Tools) -> None:
    first = await call("send_event", name="t/steps", eventIdSeed="once")
    again = await call("send_event", name="t/steps", eventIdSeed="once")
    assert len(first["runIds"]) == 1
    assert "runIds" not in again


@pytest.mark.conformance("Protocol", "The tools of MCP answer with the recorded fields.")
async def test_run_answers_have_the_recorded_fields(call: Tools) -> None:
    event_id, run_id = await call.send("t/steps", k="m")
    asked: dict[str, dict[str, Any]] = {
        "get_run_status": {"runId": run_id},
        "poll_run_status": {"runIds": [run_id], "timeout": 5},
        "get_event_runs": {"eventId": event_id, "includeOutput": True},
    }
    for tool, args in asked.items():
        answer, expected = await call(tool, **args), recorded(tool)["structured"]
        assert _without_end(fields(expected)) == _without_end(fields(answer)), tool
    run = (await call("get_run", runId=run_id, includeOutput=True))["data"]
    expected = recorded("get_run", includeOutput=True)["structured"]["data"]
    assert _without_end(fields(expected)) == _without_end(fields(run))
    assert run["output"] == expected["output"] == {"a": {"v": 1}, "b": {"v": 1}}
    assert run["status"] == "COMPLETED"
    assert "output" not in (await call("get_run", runId=run_id))["data"]


async def test_run_status_is_told_in_the_recorded_words(call: Tools) -> None:
    _, run_id = await call.send("t/steps", k="m")
    told = await call.raw("get_run_status", runId=run_id)
    assert _shape_of_text(text(told)) == _shape_of_text(recorded("get_run_status")["text"])
    _, waiting = await call.send("t/wait", k="never")
    told = await call.raw("get_run_status", runId=waiting)
    assert text(told).startswith("Run Status: Running\nFunction: wait\nStarted: ")
    polled = await call.raw("poll_run_status", runIds=[run_id], timeout=1)
    assert _shape_of_text(text(polled)) == _shape_of_text(recorded("poll_run_status")["text"])


async def test_polling_gives_up_on_a_run_that_waits(call: Tools) -> None:
    _, run_id = await call.send("t/wait", k="never")
    polled = await call("poll_run_status", runIds=[run_id], timeout=1, pollInterval=2000)
    assert (polled["running"], polled["completed"], polled["failed"]) == (1, 0, 0)


async def test_a_trace_shows_each_step_once_and_its_failed_attempts_below_it(call: Tools) -> None:
    _, run_id = await call.send("t/fail", k="m")
    await call.rig.advance(60)
    root = (await call("get_run_trace", runId=run_id, includeOutput=True))["data"]["rootSpan"]
    steps = {span["name"]: span for span in root["children"] if "stepId" in span}
    assert list(steps) == ["first", "boom"]
    assert root["status"] == steps["boom"]["status"] == "FAILED"
    assert [(a["name"], a["status"]) for a in steps["boom"]["children"]] == [
        ("Attempt 0", "FAILED"),
        ("Attempt 1", "FAILED"),
    ]
    assert steps["boom"]["output"]["message"] == "always"
    assert steps["first"]["output"] == {"v": 1}
    assert "children" not in steps["first"]


async def test_a_step_in_a_trace_has_the_recorded_fields(call: Tools) -> None:
    _, run_id = await call.send("t/steps", k="m")
    trace = (await call("get_run_trace", runId=run_id, includeOutput=True))["data"]
    expected = recorded("get_run_trace", includeOutput=True)["structured"]["data"]
    assert set(expected["rootSpan"]) <= set(trace["rootSpan"])
    step = next(span for span in expected["rootSpan"]["children"] if "durationMs" in span)
    assert set(step) == set(trace["rootSpan"]["children"][0])
    assert trace["rootSpan"]["children"][0]["stepId"] == step["stepId"]
    assert normal(trace["rootSpan"]["input"]) == normal(expected["rootSpan"]["input"])


async def test_a_waiting_step_reads_waiting(call: Tools) -> None:
    _, run_id = await call.send("t/wait", k="never")
    root = (await call("get_run_trace", runId=run_id))["data"]["rootSpan"]
    assert (root["status"], root["children"][0]["status"]) == ("RUNNING", "WAITING")
    assert root["children"][0]["stepOp"] == "WAIT_FOR_EVENT"
    assert "endedAt" not in root["children"][0]


async def test_a_rerun_is_a_new_run_of_the_same_event(call: Tools) -> None:
    event_id, run_id = await call.send("t/steps", k="m")
    again = (await call("rerun", runId=run_id))["data"]["runId"]
    await call.rig.engine.settle()
    listed = (await call("get_event_runs", eventId=event_id))["data"]
    assert [run["id"] for run in listed] == [again, run_id]
    assert [run["status"] for run in listed] == ["COMPLETED", "COMPLETED"]


async def test_a_rerun_from_a_failed_step_does_not_repeat_what_worked(call: Tools) -> None:
    _, run_id = await call.send("t/fail", k="m")
    await call.rig.advance(60)
    again = (await call("rerun", runId=run_id, fromStep={"stepId": "boom"}))["data"]["runId"]
    await call.rig.engine.settle()
    calls = [c.body for c in call.rig.calls if c.body["ctx"]["run_id"] == again]
    assert [[step["data"] for step in body["steps"].values()] for body in calls] == [[{"v": 1}]]
    trace = (await call("get_run_trace", runId=again))["data"]["rootSpan"]
    assert [(s["name"], s["status"]) for s in trace["children"]] == [("first", "COMPLETED"), ("boom", "FAILED")]
    refused = await call.raw("rerun", runId=run_id, fromStep={"stepId": "another"})
    assert "Step not found in original run" in text(refused)


async def test_a_cancelled_run_reads_cancelled_and_cannot_be_cancelled_again(call: Tools) -> None:
    _, run_id = await call.send("t/cancelme", k="mcp")
    answer = await call("cancel_run", runId=run_id)
    assert normal(answer) == normal(recorded("cancel_run")["structured"])
    run = (await call("get_run", runId=run_id))["data"]
    expected = next(
        a["structured"]["data"]
        for a in RECORDED["answers"]
        if a["tool"] == "get_run" and a["structured"]["data"]["status"] == "CANCELLED"
    )
    assert fields(run) == fields(expected)
    refused = await call.raw("cancel_run", runId=run_id)
    assert refused.is_error
    assert refused.structured_content["errors"][0]["code"] == "run_already_cancelled"


async def test_functions_are_listed_with_the_recorded_configuration(call: Tools) -> None:
    listed = (await call("list_functions", appId="rec", limit=100))["data"]
    mine = {function["id"]: function for function in listed}
    theirs = {function["id"]: function for function in recorded("list_functions")["structured"]["data"]}
    assert {name: mine[name] for name in theirs} == theirs
    (one,) = [(await call("get_function", appId="rec", functionId="conc"))["data"]]
    assert one == theirs["conc"]


async def test_apps_are_listed_as_recorded(call: Tools) -> None:
    apps = await call("get_apps")
    assert fields(apps) == fields(recorded("get_apps")["structured"])
    assert apps["data"][0]["functionCount"] == recorded("get_apps")["structured"]["data"][0]["functionCount"]
    assert (await call("get_app", appId="rec"))["data"] == apps["data"][0]


async def test_runs_are_listed_in_pages_newest_first(call: Tools) -> None:
    runs = [(await call.send("t/m1", i=i))[1] for i in range(5)]
    first = await call("list_runs", limit=3)
    assert _without_end(fields(first)) == _without_end(fields(recorded("list_runs")["structured"]))
    second = await call("list_runs", limit=3, cursor=first["page"]["cursor"])
    assert [run["id"] for run in first["data"] + second["data"]] == runs[::-1]
    assert "hasMore" not in second["page"]
    assert [run["id"] for run in (await call("list_runs", order="ASC"))["data"]] == runs


async def test_runs_can_be_filtered(call: Tools) -> None:
    _, done = await call.send("t/m1")
    _, waiting = await call.send("t/wait", k="never")
    assert [r["id"] for r in (await call("list_runs", status=["RUNNING"]))["data"]] == [waiting]
    assert [r["id"] for r in (await call("list_function_runs", appId="rec", functionId="multi"))["data"]] == [done]
    assert "data" not in await call("list_runs", appId=["another"])


async def test_invoking_starts_one_run_and_an_idempotency_key_no_second_one(call: Tools) -> None:
    first = await call("invoke_function", appId="rec", functionId="callee", data={"x": 1}, idempotencyKey="k")
    again = await call.raw("invoke_function", appId="rec", functionId="callee", data={"x": 1}, idempotencyKey="k")
    other = await call("invoke_function", appId="rec", functionId="callee", data={"x": 1})
    assert again.is_error
    assert text(again).startswith("REST API v2 returned HTTP 409: ")
    assert again.structured_content["data"] == first["data"] != other["data"]
    await call.rig.engine.settle()
    assert sum(c.query["fnId"] == "rec-callee" and not c.body["steps"] for c in call.rig.calls) == 2


async def test_invoking_synchronously_returns_the_output(call: Tools) -> None:
    done = await call.raw("invoke_function_sync", functionId="rec-callee", data={"x": 1}, timeout=10)
    assert done.structured_content["status"] == "Completed"
    assert done.structured_content["output"]["got"]["x"] == 1
    assert text(done).startswith("Function 'callee' invoked successfully\nStatus: Completed\nDuration: ")


async def test_a_failed_synchronous_call_tells_the_error(call: Tools) -> None:
    failed = await call.raw("invoke_function_sync", functionId="fail-onfailure")
    assert failed.structured_content["status"] == "Failed"
    assert failed.structured_content["error"] == "always"


@pytest.mark.parametrize(
    ("tool", "args", "message"),
    [
        ("list_functions", {}, "appId is required"),
        ("invoke_function", {"functionId": "callee", "data": {}}, "appId is required"),
        ("get_run", {"runId": "nonsense"}, "Run ID must be a valid ULID"),
        ("get_run", {"runId": UNKNOWN}, "Run not found"),
        ("get_app", {"appId": "another"}, "App not found"),
        ("get_function", {"appId": "rec", "functionId": "another"}, "Function not found"),
        ("invoke_function_sync", {"functionId": "another"}, "function not found: another"),
        ("get_run_status", {"runId": UNKNOWN}, "failed to get run"),
        ("send_event", {"data": {}}, "'name' is a required property"),
        ("send_event", {"name": ""}, "failed to send event: event name is empty"),
        ("poll_run_status", {"runIds": []}, "runIds array cannot be empty"),
        ("list_runs", {"limit": 101}, "Limit cannot exceed 100"),
        ("list_runs", {"cursor": "?"}, "Cursor is invalid"),
        ("read_doc", {"path": "../README.md"}, "file not found: ../README.md"),
        ("grep_docs", {"pattern": "("}, "invalid pattern"),
    ],
)
async def test_a_refusal_is_an_error_that_says_what_is_wrong(
    call: Tools, tool: str, args: dict[str, Any], message: str
) -> None:
    refused = await call.raw(tool, **args)
    assert refused.is_error
    assert message in text(refused)


async def test_the_documentation_tools_read_the_projects_own_pages(call: Tools) -> None:
    found = await call("grep_docs", pattern="WAIT_for_event", limit=200)
    files = {match["file"] for match in found["matches"]}
    assert {"AGENTS.md", "docs/capabilities.md", ".claude/skills/inngest-steps/SKILL.md"} <= files
    page = await call("read_doc", path=found["matches"][0]["file"])
    assert page["content"].splitlines()[found["matches"][0]["line"] - 1].strip() == found["matches"][0]["content"]
    overview = await call("list_docs")
    assert overview["totalDocs"] == sum(overview["categories"].values())
    assert overview["categories"]["inngest_server"] == 2
    assert "https://www.inngest.com/docs" in text(await call.raw("grep_docs", pattern="no page says this: \\d{9}"))


@pytest.mark.parametrize(("path", "package"), [("/mcp", "mcp"), ("/v0/gql", "graphql")])
async def test_without_an_extra_the_engine_serves_the_rest_and_says_which_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, path: str, package: str
) -> None:
    monkeypatch.delitem(sys.modules, f"offline.inngest_server.views.{package}")
    monkeypatch.delattr(views, package)
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    async with DevServer(poll=False) as server, httpx.AsyncClient(base_url=server.origin) as http:
        answer = await http.post(path, json={})
        assert (answer.status_code, answer.text) == (
            501,
            f'501: {path} needs the package {package}: pip install "inngest-stand-in[{package}]"\n',
        )
        assert (await http.get("/runs")).status_code == 200


async def test_a_client_that_asks_for_a_stream_is_told_there_is_none(call: Tools) -> None:
    answer = await call.rig.http.get("/mcp", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_health_is_ok(call: Tools) -> None:
    assert (await call("health"))["data"] == {"status": "ok"}


def _without_descriptions(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_descriptions(item)
            for name, item in schema.items()
            if name != "description" or not isinstance(item, str)
        }
    return schema


def _without_end(shape: Any) -> Any:
    """The official server shows a run's end a moment after its status, so that some recordings lack it."""
    if isinstance(shape, dict):
        return {name: _without_end(item) for name, item in shape.items() if name not in ("endedAt", "durationMs")}
    return [_without_end(item) for item in shape] if isinstance(shape, list) else shape


def _shape_of_text(told: str) -> list[str]:
    """The labels of a told status, line by line."""
    return [re.sub(r"\d+ms", "<ms>", line.split(":")[0]) for line in normal(told).splitlines()]
