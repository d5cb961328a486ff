"""The gates, let loose on a right build and on wrong ones: each fault is found, by its gate and with its advice."""

import asyncio
import io
import os
from datetime import timedelta
from importlib import import_module

import fastapi
import pytest
from rich.console import Console

import concepts
import inngest_app
import migrations
from gates.__main__ import GATES, run
from gates.engine import EngineError
from gates.report import Finding, Report
from gates.rows import RowsError
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL
from tests.serving import served
from tests.wrong_builds.learner import RIGHT

pytestmark = [
    pytest.mark.skipif(bool(OFFICIAL), reason="each build needs an engine of its own"),
    # The stand-in's own clock is not hurried where a gate waits for what must not happen.
    pytest.mark.timeout(240),
]
PATIENCE_SECONDS = 6
# Which gate finds it, and what it tells the learner to reread.
FAULTS = {
    "typo": ("D1", "concepts/webhooks.py"),
    "row_outside_a_step": ("D1", "concepts/memoization.py"),
    "no_dead_letters": ("D1", "concepts/retries.py"),
    "work_outside_a_step": ("D2", "concepts/memoization.py"),
    "no_event_ids": ("D3", "concepts/idempotency.py"),
    "everybody": ("D3", "concepts/fan_out.py"),
    "rate_limit": ("D4", "concepts/flow_control.py"),
    "no_tenant_key": ("D4", "concepts/flow_control.py"),
    "anybodys_yes": ("D5", "concepts/human_gate.py"),
    "no_timeout_branch": ("D5", "concepts/human_gate.py"),
    "silence_pays": ("D5", "concepts/human_gate.py"),
    "fresh_conversation": ("D5", "concepts/human_gate.py"),
    "lost_context": ("D5", "concepts/human_gate.py"),
}
WORDS = {
    "typo": "typo",
    "row_outside_a_step": "outside a step",
    "no_dead_letters": "inngest/function.failed",
    "work_outside_a_step": "outside a step",
    "no_event_ids": "carry no id",
    "everybody": "the tier is not asked for",
    "rate_limit": "rate limit drops",
    "no_tenant_key": "without a key",
    "anybodys_yes": "takes any decision",
    "no_timeout_branch": "no branch for the timeout",
    "silence_pays": "silence pays",
    "fresh_conversation": "fresh conversation",
    "lost_context": "context was lost",
}


async def checked(engine: DevServer, *names: str) -> Report:
    report = Report(Console(file=io.StringIO()))
    await run(list(names), engine.origin, os.environ["DATABASE_URL"], report, PATIENCE_SECONDS)
    return report


async def report_of(app: fastapi.FastAPI, *names: str, app_id: str = "my-worker") -> list[Finding]:
    async with served(app, app_id) as engine:
        return (await checked(engine, *names)).findings


async def test_a_right_build_with_names_of_its_own_passes_every_gate(database: None) -> None:
    findings = await report_of(RIGHT.app(), "d0", "d1", "d2", "d3", "d4", "d5")
    assert [finding for finding in findings if not finding.passed] == []
    assert len(findings) > 30


async def test_the_reference_passes_every_gate(database: None) -> None:
    findings = await report_of(inngest_app.app, "d0", "d1", "d2", "d3", "d4", "d5", app_id="customer-support")
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_by_its_gate_with_its_advice(fault: str, database: None) -> None:
    gate, source = FAULTS[fault]
    build = import_module(f"tests.wrong_builds.{fault}").BUILD
    failed = [finding for finding in await report_of(build.app(), gate.lower()) if finding.passed is False]
    assert failed, "nothing was found"
    advice = failed[0].advice
    assert advice is not None
    assert failed[0].gate == gate
    assert (advice.source, WORDS[fault] in advice.cause) == (source, True), advice


async def test_the_quick_win_wants_to_see_it_broken_before_it_passes(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(concepts.app, "concepts") as engine:
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


async def test_d6_wants_to_see_a_step_that_failed_and_healed(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(inngest_app.app, "customer-support") as engine:
        (missing,) = (await checked(engine, "d6")).failed
        assert missing.advice is not None
        assert missing.advice.cause.startswith("break the agent's step")
        monkeypatch.setenv("MODEL", "rule-based:outage")
        email = {"customer_id": "cust_001", "email_text": "How long does shipping take?"}
        engine.send_events([{"name": "customer/email.received", "data": email}])
        await engine.settle()
        monkeypatch.setenv("MODEL", "rule-based")
        await engine.advance(timedelta(minutes=2))
        report = await checked(engine, "d6")
    assert report.failed == []


def test_the_gates_say_what_they_know_without_an_engine_or_a_database() -> None:
    report = Report(Console(file=io.StringIO()))
    with pytest.raises(RowsError, match="DATABASE_URL"):
        asyncio.run(run(["d0"], "http://127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/none", report))
    assert report.findings == []


async def test_an_engine_that_is_not_there_is_named(database: None) -> None:
    with pytest.raises(EngineError, match=r"No Inngest dev server answers at http://127\.0\.0\.1:1 "):
        await run(["d0"], "http://127.0.0.1:1", os.environ["DATABASE_URL"], Report(Console(file=io.StringIO())))


def test_there_is_a_gate_for_every_decision() -> None:
    assert list(GATES) == ["quick-win", "d0", "d1", "d2", "d3", "d4", "d5", "d6"]
    assert set(FAULTS) == set(WORDS)
    assert migrations.FOLDER.is_dir()
