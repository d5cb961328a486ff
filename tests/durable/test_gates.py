"""The gates, let loose on a right build and on wrong ones: each fault is found, by its gate and with its advice."""

import asyncio
import io
import os
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import fastapi
import pytest
from rich.console import Console

import inngest_app
from concepts.app import app as shelf
from gates.__main__ import GATES, run
from gates.d1 import email_handler
from gates.engine import EngineError, Function
from gates.report import Advice, Report
from gates.rows import RowsError
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL
from tests.serving import served
from tests.wrong_builds import early
from tests.wrong_builds.learner import RIGHT, Build

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="each build needs an engine of its own")
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 6
# For each wrong build: the gate that finds its fault, the file that it tells to reread, and words of the cause.
FAULTS = {
    "work_outside_a_step": ("D1", "concepts/memoization.py", "outside a step"),
    "typo": ("D2", "concepts/webhooks.py", "typo"),
    "row_outside_a_step": ("D2", "concepts/memoization.py", "outside a step"),
    "no_event_ids": ("D3", "concepts/idempotency.py", "carry no id"),
    "everybody": ("D3", "concepts/fan_out.py", "the tier is not asked for"),
    "rate_limit": ("D4", "concepts/flow_control.py", "rate limit drops"),
    "no_tenant_key": ("D4", "concepts/flow_control.py", "without a key"),
    "anybodys_yes": ("D5", "concepts/human_gate.py", "takes any decision"),
    "no_timeout_branch": ("D5", "concepts/human_gate.py", "no branch for the timeout"),
    "silence_pays": ("D5", "concepts/human_gate.py", "silence pays"),
    "fresh_conversation": ("D5", "concepts/human_gate.py", "fresh conversation"),
    "lost_context": ("D5", "concepts/human_gate.py", "context was lost"),
}
# What the course does not ask for, so that only `--beyond` finds that it is missing.
BEYOND = {
    "no_dead_letters": ("D2", "concepts/retries.py", "inngest/function.failed"),
    "no_reply_to_silence": ("D5", "concepts/human_gate.py", "never told"),
}


async def checked(engine: DevServer, *names: str, beyond: bool = False) -> Report:
    report = Report(Console(file=io.StringIO()))
    await run(list(names), engine.origin, os.environ["DATABASE_URL"], report, PATIENCE_SECONDS, beyond=beyond)
    return report


async def report_of(app: fastapi.FastAPI, *names: str, app_id: str = "my-worker", beyond: bool = False) -> Report:
    async with served(app, app_id) as engine:
        return await checked(engine, *names, beyond=beyond)


async def test_a_right_build_with_names_of_its_own_passes_every_gate(database: None) -> None:
    report = await report_of(RIGHT.app(), "d0", "d1", "d2", "d3", "d4", "d5", beyond=True)
    assert [finding for finding in report.findings if not finding.passed] == []
    assert len(report.findings) > 30


async def test_the_reference_passes_every_gate(database: None) -> None:
    names = ("d0", "d1", "d2", "d3", "d4", "d5")
    report = await report_of(inngest_app.app, *names, app_id="customer-support", beyond=True)
    assert [finding for finding in report.findings if not finding.passed] == []


@pytest.mark.parametrize(("decision", "build"), [(1, early.after_d1), (2, early.after_d2)])
async def test_a_build_on_its_way_passes_the_gates_so_far_and_not_the_next(
    decision: int, build: Callable[[], fastapi.FastAPI], database: None
) -> None:
    names = [f"d{number}" for number in range(decision + 2)]
    report = await report_of(build(), *names)
    assert {finding.gate for finding in report.failed} == {f"D{decision + 1}"}, report.failed


@pytest.mark.parametrize("fault", [*FAULTS, *BEYOND])
async def test_a_fault_is_found_by_its_gate_with_its_advice(fault: str, database: None) -> None:
    gate, source, words = (FAULTS | BEYOND)[fault]
    failed = (await report_of(wrong_build(fault), gate.lower(), beyond=fault in BEYOND)).failed
    assert failed, "nothing was found"
    advice = failed[0].advice
    assert advice is not None
    assert failed[0].gate == gate
    assert (advice.source, words in advice.cause) == (source, True), advice


@pytest.mark.parametrize("fault", BEYOND)
async def test_what_is_beyond_the_course_is_not_asked_of_a_learner(fault: str, database: None) -> None:
    assert (await report_of(wrong_build(fault), BEYOND[fault][0].lower())).failed == []


def wrong_build(fault: str) -> fastapi.FastAPI:
    build: Build = import_module(f"tests.wrong_builds.{fault}").BUILD
    return build.app()


async def test_the_quick_win_wants_to_see_it_broken_before_it_passes(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(shelf, "concepts") as engine:
        report = await checked(engine, "quick-win")
        (missing,) = report.failed
        assert missing.advice is not None
        assert "BREAK=farewell" in missing.advice.cause
        monkeypatch.setenv("BREAK", "farewell")
        engine.send_events([{"name": "demo/greet", "data": {"name": "Ada"}}])
        await engine.settle()
        await engine.advance(timedelta(minutes=2))
        monkeypatch.delenv("BREAK")
        report = await checked(engine, "quick-win")
    assert report.failed == []


@pytest.mark.parametrize("repaired_in_time", [True, False])
async def test_d6_wants_to_see_a_step_that_failed_and_the_work_recovered(
    repaired_in_time: bool, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = {"customer_id": "cust_001", "email_text": "How long does shipping take?"}
    async with served(inngest_app.app, "customer-support") as engine:
        (missing,) = (await checked(engine, "d6")).failed
        assert missing.advice is not None
        assert missing.advice.cause.startswith("break the agent's step")
        monkeypatch.setenv("MODEL", "rule-based:outage")
        engine.send_events([{"name": "customer/email.received", "data": email}])
        await engine.settle()
        if not repaired_in_time:
            await engine.advance(timedelta(hours=3))
            (missing,) = (await checked(engine, "d6")).failed
            assert missing.advice is not None
            assert "new event id" in missing.advice.cause
        monkeypatch.setenv("MODEL", "rule-based")
        if not repaired_in_time:
            engine.send_events([{"name": "customer/email.received", "data": email}])
        await engine.advance(timedelta(minutes=2))
        report = await checked(engine, "d6")
    assert report.failed == []


def test_the_gates_say_what_they_know_without_an_engine_or_a_database() -> None:
    report = Report(Console(file=io.StringIO()))
    with pytest.raises(RowsError, match="DATABASE_URL"):
        asyncio.run(run(["d0"], "http://127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/none", report))
    assert report.findings == []


def test_before_d2_the_function_that_answers_emails_is_found_by_its_name_or_as_the_only_one_left() -> None:
    def function(name: str, *triggers: str) -> Function:
        return Function("app", name, list(triggers), {})

    others = [
        function("hello", "demo/greet"),
        function("morning", "0 9 * * *"),
        function("late", "inngest/function.failed"),
    ]
    mine, named = function("answer-mail"), function("handle-customer-email")
    woken = function("on-mail", "customer/email.received")
    assert email_handler([*others, mine]) == mine
    assert email_handler([*others, mine, function("another", "my/event")]) is None
    assert email_handler([*others, mine, named]) == named
    assert email_handler([*others, mine, named, woken]) == woken
    assert email_handler(others) is None


async def test_an_engine_that_is_not_there_is_named(database: None) -> None:
    with pytest.raises(EngineError, match=r"No Inngest dev server answers at http://127\.0\.0\.1:1 "):
        await run(["d0"], "http://127.0.0.1:1", os.environ["DATABASE_URL"], Report(Console(file=io.StringIO())))


def test_there_is_a_gate_for_every_decision() -> None:
    assert list(GATES) == ["quick-win", "d0", "d1", "d2", "d3", "d4", "d5", "d6"]


def test_what_a_gate_tells_to_reread_exists() -> None:
    advices = [value for gate in GATES.values() for value in vars(gate).values() if isinstance(value, Advice)]
    assert len(advices) > 30
    assert [advice.source for advice in advices if not (ROOT / advice.source).is_file()] == []
