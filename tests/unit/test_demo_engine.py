"""What the demo reads out of the engines' traces. Runs without one, on answers of the official server's shape."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx

from offline.demo.engine import Engine, Event
from offline.demo.trace import Run


def span(
    name: str, status: str, start: str | None, end: str | None, children: list[Any] | None = None, **more: Any
) -> Any:
    at = [f"2026-11-20T20:21:{second}Z" if second else None for second in (start, end)]
    common = {"name": name, "status": status, "startedAt": at[0], "endedAt": at[1], "stepOp": "RUN", "stepId": name}
    return common | {"children": children or []} | more


async def read(*spans: Any, status: str = "RUNNING") -> Run:
    node = {
        "id": "01RUN",
        "status": status,
        "triggerIDs": ["01EVENT"],
        "queuedAt": "2026-11-20T20:21:49.816123456Z",
        "endedAt": None,
        "function": {"slug": "customer-support-handle-customer-email"},
        "trace": {"children": list(spans)},
    }
    body = {"data": {"runs": {"edges": [{"node": node}]}}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    async with httpx.AsyncClient(transport=transport) as http:
        return (await Engine("http://engine", http).runs(datetime.now(UTC)))[0]


async def test_a_step_listed_as_planned_and_as_executed_is_one_step() -> None:
    """The official server lists both; the first is never brought up to date."""
    planned = span("run-agent", "RUNNING", "50.002", None, [span("Attempt 0", "RUNNING", "50.002", None)])
    run = await read(planned, span("run-agent", "COMPLETED", "50.001", "50.009"))
    (step,) = run.steps
    (attempt,) = step.attempts
    assert (step.status, step.failures) == ("COMPLETED", [])
    assert attempt.ended
    assert (attempt.ended - attempt.started).microseconds == 8000


async def test_attempts_are_counted_once_however_they_are_listed() -> None:
    """As an official server listed a step that failed twice: what was planned never learns of the failures."""
    planned = [
        span("Attempt 0", "RUNNING", "10.488", None),
        span("Attempt 1", "RUNNING", "43.665", None),
        span("Attempt 2", "QUEUED", None, None),
    ]
    executed = [span("run-agent", "FAILED", "10.487", "10.604"), span("run-agent", "FAILED", "43.664", "43.679")]
    run = await read(span("run-agent", "WAITING", "10.488", None, planned), *executed)
    assert [(attempt.number, attempt.status) for attempt in run.steps[0].attempts] == [(1, "FAILED"), (2, "FAILED")]


async def test_attempts_listed_below_their_step_are_enough() -> None:
    """As the stand-in lists them."""
    attempts = [span("Attempt 0", "FAILED", "10.1", "10.2"), span("Attempt 1", "COMPLETED", "30.0", "30.5")]
    run = await read(span("run-agent", "COMPLETED", "10.1", "30.5", attempts))
    assert [attempt.status for attempt in run.steps[0].attempts] == ["FAILED", "COMPLETED"]
    assert [(start.second, end.second) for start, end in run.busy] == [(10, 10), (30, 30)]


async def test_a_run_is_busy_while_a_request_is_with_the_app_and_not_while_it_waits() -> None:
    run = await read(
        span("run-agent", "COMPLETED", "50.0", "50.5"),
        span("run-agent", "COMPLETED", "50.1", "50.4"),
        span("await-refund-approval", "COMPLETED", "50.5", "59.0", stepOp="WAIT_FOR_EVENT"),
        span("Finalization", "COMPLETED", "59.0", "59.2", stepOp=None, stepId=None),
    )
    assert [(start.second, end.second, end.microsecond) for start, end in run.busy] == [
        (50, 50, 500000),
        (59, 59, 200000),
    ]
    assert [step.name for step in run.steps] == ["run-agent", "await-refund-approval"]


async def test_a_dashboard_page_in_place_of_a_clock_means_an_official_server() -> None:
    for answer, skips_time in [
        (httpx.Response(200, html="<!doctype html>"), False),
        (httpx.Response(404), False),
        (httpx.Response(200, json={"offset_seconds": 60.0}), True),
    ]:
        transport = httpx.MockTransport(lambda _, answer=answer: answer)
        async with httpx.AsyncClient(transport=transport) as http:
            engine = Engine("http://engine", http)
            await engine.meet()
            assert engine.skips_time is skips_time


async def test_several_events_are_one_request() -> None:
    """One after the other they would be answered before the last has come, and no burst."""
    bodies: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"ids": ["01A", "01B"]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as http:
        ids = await Engine("http://engine", http).send(Event("a", {}), Event("b", {}))
    assert ids == ["01A", "01B"]
    ((first, second),) = bodies
    assert first["id"] != second["id"]
