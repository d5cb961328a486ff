"""Every row of docs/diagnose.md, reproduced: the cause is made, and the row's command shows it."""

import asyncio
import json
import os
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import inngest
import pytest
from mcp import Client

import db
import inngest_app
import worker
from concepts import outside, recovery_command
from concepts.app import app as shelf
from concepts.idempotency import REFUND_REQUESTED
from tests.concepts.test_readme import ROWS as CONCEPTS
from tests.durable.driver import OFFICIAL, Engine, actions, refunds_in_ledger
from tests.durable.test_gates import FAULTS, report_of
from tests.wrong_builds import row_outside_a_step
from tests.wrong_builds.learner import RIGHT, answered_in_a_step

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="each symptom needs an engine of its own")
TABLE = (Path(__file__).parents[2] / "docs" / "diagnose.md").read_text()
LINES = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", TABLE, re.M)
ROWS = {symptom: command.strip("`") for symptom, _, _, command in LINES if symptom != "symptom"}
# The symptoms that a wrong build stands for; tests/durable/test_gates.py shows that the gate finds each.
BY_GATE = {
    "a function never fires when its event arrives": "typo",
    "a function fires twice for the same logical event": "no_event_ids",
    'a function "lost work" after a deploy': "work_outside_a_step",
    "one customer's burst starves the others": "no_tenant_key",
    "the approval timed out silently over the weekend": "no_timeout_branch",
    "emails disappear in a burst": "rate_limit",
}
SHOWN: dict[str, Callable[..., Awaitable[None]]] = {}


def shows(symptom: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """The test that reproduces a row."""

    def add(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        SHOWN[symptom] = test
        return test

    return add


def test_every_row_is_reproduced() -> None:
    assert len(ROWS) >= 12
    assert ROWS.keys() == BY_GATE.keys() | SHOWN.keys()


def test_the_courses_twelve_come_first_and_each_names_its_concept_by_number_and_file() -> None:
    course, _ = TABLE.split("## And more")
    assert course.count("\n| ") == 13
    files = {row.file: row.concept.split()[0] for row in CONCEPTS}
    for _, _, concepts, _ in LINES:
        for number, file in re.findall(r"(\d+) \[(\w+)\]", concepts):
            assert files[file] == number, file


@pytest.mark.parametrize("symptom", BY_GATE)
def test_the_gate_that_a_row_names_is_the_one_that_finds_it(symptom: str) -> None:
    gate, *_ = FAULTS[BY_GATE[symptom]]
    assert ROWS[symptom] == f"python -m gates {gate.lower()}"


async def call(tool: str, **arguments: object) -> str:
    """What a tool of the engine's MCP server answers."""
    async with Client(f"{os.environ['INNGEST_DEV']}/mcp") as client:
        result = await client.call_tool(tool, dict(arguments))
    assert not result.is_error, result.content
    return str(result.structured_content)


@shows("the schedule did not fire over a deploy")
async def test_a_tick_that_the_dev_server_was_away_for_is_made_up_for_by_hand(engine: Engine) -> None:
    """The engine began an hour after the tick."""
    await engine.settle()
    assert await actions() == {}
    assert "/invoke/customer-support-daily-health-check" in ROWS["the schedule did not fire over a deploy"]
    await engine.invoke("customer-support-daily-health-check")
    await engine.until(actions, {"health_check": 3})


@shows("a customer was charged twice for one refund")
async def test_a_charge_between_the_steps_is_found_by_the_query(database: None) -> None:
    async def charged_between_steps(ctx: inngest.Context, text: str, who: dict[str, str]) -> Any:
        await db.record("refund_issued", ctx.run_id, str(uuid4()), who["customer_id"], order_id="A-1001")
        return await answered_in_a_step(ctx, text, who)

    async with Engine() as engine:
        await engine.serve(RIGHT.but(answered=charged_between_steps).app())
        await engine.email("How long does shipping take?")
        await engine.settle()
        (row,) = await db.fetch(ROWS["a customer was charged twice for one refund"])
        assert row["count"] > 1


@shows("OpenAI answers 429 at the nine o'clock peak")
async def test_the_gate_of_d4_misses_a_throttle(database: None) -> None:
    flow = {"concurrency": RIGHT.flow["concurrency"]}
    (found, *_) = (await report_of(RIGHT.but(flow=flow).app(), "d4")).failed
    assert found.advice is not None
    assert found.advice.cause.startswith("without a throttle")
    assert ROWS["OpenAI answers 429 at the nine o'clock peak"] == "python -m gates d4"


@shows("a function is suspended forever and never resumes")
async def test_a_wait_for_another_name_than_is_sent_is_listed_as_running(database: None) -> None:
    async with Engine() as engine:
        await engine.serve(RIGHT.app())
        await engine.email("I was charged twice for order A-1001, $49.00 too much.")
        await engine.settle()
        await engine.send("refund/approval.decide", {"customer_id": "cust_002", "approved": True})
        await engine.settle()
        tool, _, arguments = ROWS["a function is suspended forever and never resumes"].partition(" ")
        listed = await call(tool, **json.loads(arguments))
        (run,) = [run for run in engine.dev_server.runs() if run.function.local_id == "answer-mail"]
        assert run.id in listed


@shows("yesterday's failed runs are gone from the dashboard")
async def test_the_rows_of_failed_runs_outlive_the_engine(engine: Engine) -> None:
    await engine.email("Hello?", "cust_404")
    await engine.until(actions, {"run_failed": 1})
    engine.dev_server.state.runs.clear()
    (row,) = await db.fetch(ROWS["yesterday's failed runs are gone from the dashboard"])
    assert row["customer_id"] == "cust_404"


@shows("a replay charged the customers again")
@pytest.mark.parametrize(("name", "payments"), [("concepts/idempotency.refund_wrong", 2), (REFUND_REQUESTED, 1)])
async def test_a_replay_pays_again_unless_the_bank_knows_the_key(name: str, payments: int) -> None:
    outside.forget()
    arguments = shlex.split(ROWS["a replay charged the customers again"])[3:]
    if payments == 1:
        arguments[2] = arguments[2].removesuffix("-wrong")
    async with Engine() as engine:
        await engine.serve(shelf)
        await engine.send(name, {"order_id": "A-1001", "amount_cents": 4900})
        await engine.settle()
        await asyncio.to_thread(recovery_command.main, arguments)
        await engine.settle()
    assert (len(outside.asked("pay")), len(outside.paid)) == (2, payments)
    outside.forget()


@shows("the trace does not show the prompt")
async def test_a_trace_has_the_reply_and_not_what_the_model_was_told(engine: Engine) -> None:
    await engine.email("How long does shipping to Norway take?")
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
    (row,) = await db.fetch("select run_id, detail from audit_log where action = 'message_sent'")
    tool, _, arguments = ROWS["the trace does not show the prompt"].partition(" ")
    trace = await call(tool, **json.loads(arguments) | {"runId": row["run_id"]})
    assert "run-agent" in trace
    assert worker.INSTRUCTIONS[:40] not in trace


@shows("the dashboard lists no app")
async def test_an_app_that_was_never_synced_is_listed_after_a_put(database: None) -> None:
    async with Engine() as engine:
        await engine.serve(RIGHT.app())
        (app,) = engine.dev_server.apps()
        url = app.url
        engine.dev_server.state.apps.clear()
        assert engine.dev_server.apps() == []
        assert "curl -X PUT" in ROWS["the dashboard lists no app"]
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.put(url)).raise_for_status()
        assert [found.id for found in engine.dev_server.apps()] == ["my-worker"]


@shows("rows of one email are there more than once")
async def test_rows_written_outside_a_step_are_found_by_the_query(database: None) -> None:
    async with Engine() as engine:
        await engine.serve(row_outside_a_step.BUILD.app())
        await engine.email("How long does shipping take?")
        await engine.settle()
        found = await db.fetch(ROWS["rows of one email are there more than once"])
        assert [(row["action"], row["count"] > 1) for row in found] == [("message_received", True)]


@shows("the yes does nothing")
async def test_a_yes_as_text_leaves_the_refund_pending(engine: Engine) -> None:
    event_id = await engine.email("I was charged twice for order A-1001, $49.00 too much.")
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.decide(approved="true", request_id=event_id)
    await engine.decide(approved=True, request_id="another")
    await engine.settle()
    (row,) = await db.fetch(ROWS["the yes does nothing"])
    assert (row["request_id"], row["status"]) == (event_id, "pending")


@shows('a run fails at once with "There is no customer"')
async def test_an_unknown_customer_stands_in_the_row(engine: Engine) -> None:
    await engine.email("Hello?", "cust_404")
    await engine.until(actions, {"run_failed": 1})
    (row,) = await db.fetch(ROWS['a run fails at once with "There is no customer"'])
    assert "There is no customer 'cust_404'" in row["detail"]


@shows("`/readyz` says 503")
async def test_readyz_tells_of_a_missing_table(database: None) -> None:
    transport = httpx.ASGITransport(inngest_app.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        await db.fetch("alter table refunds rename to gone")
        try:
            assert (await http.get("/readyz")).status_code == 503
        finally:
            await db.fetch("alter table gone rename to refunds")
        assert (await http.get("/readyz")).status_code == 200
    assert ROWS["`/readyz` says 503"].endswith("/readyz")


@shows("a step is tried again though it succeeded")
async def test_a_step_that_returns_no_json_is_tried_again_after_its_effect(database: None) -> None:
    done: list[str] = []

    async def think(email_text: str) -> Any:
        done.append(email_text)
        return object()

    async def answered(ctx: inngest.Context, text: str, _: dict[str, str]) -> Any:
        return await ctx.step.run("think", think, text)

    async with Engine() as engine:
        await engine.serve(RIGHT.but(answered=answered).app())
        await engine.email("Hello?")
        await engine.settle()
        assert done == ["Hello?"]
        await engine.advance(minutes=1)
        assert len(done) > 1
        errors = [str(attempt) for run in engine.dev_server.runs() for attempt in run.attempts]
        assert any("unserializable" in error for error in errors), errors
