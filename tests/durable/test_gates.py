"""The gates, let loose on a right build and on wrong ones: each fault is found, by its gate and with its advice."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import fastapi
import pytest

import inngest_app
from concepts.app import app as shelf
from gates import contract, hook, source
from gates.__main__ import GATES, run
from gates.d1 import email_handler
from gates.engine import EngineError, Function
from gates.report import Advice, Report
from gates.rows import RowsError
from gates.spans import steps_of
from gates.world import Build as Gated
from offline.inngest_server import DevServer
from tests import forked
from tests.durable.driver import OFFICIAL
from tests.right_builds.plain import database as plain_database
from tests.right_builds.plain import nerves as plain
from tests.right_builds.shop import durable as shop_durable
from tests.right_builds.shop import models as shop_models
from tests.serving import served
from tests.wrong_builds import early, kept_in_memory
from tests.wrong_builds.learner import RIGHT, Build

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="each build needs an engine of its own")
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 6
# Bursts are tested without the course's throttle, as everywhere in these tests.
LIMITS = (10, 2, 6000)
NERVES = ("d1", "d2", "d3", "d4", "d5")
LEARNER, PLAIN = "python -m tests.wrong_builds.worker", "python -m tests.right_builds.plain.worker {email}"
SHOP = "python -m tests.right_builds.shop"
# For each wrong build: the gate that finds its fault, the file that it tells to reread, and words of the cause.
FAULTS = {
    "no_model": ("D1", "concepts/ai_calls.py", "no model"),
    "work_outside_a_step": ("D1", "concepts/memoization.py", "outside a step"),
    "typo": ("D2", "concepts/webhooks.py", "typo"),
    "row_outside_a_step": ("D2", "concepts/memoization.py", "outside a step"),
    "random_event_ids": ("D3", "concepts/idempotency.py", "not made of the customer"),
    "run_id_in_event_ids": ("D3", "concepts/idempotency.py", "the run's id"),
    "sent_between_steps": ("D3", "concepts/memoization.py", "client.send between"),
    "high_limits": ("D4", "concepts/flow_control.py", "above the course's"),
    "waits_for_weeks": ("D5", "concepts/sleep_and_wait.py", "longer than four hours"),
    "no_event_ids": ("D3", "concepts/idempotency.py", "carry no id"),
    "everybody": ("D3", "concepts/fan_out.py", "the tier is not asked for"),
    "rate_limit": ("D4", "concepts/surplus.py", "rate limit drops"),
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
    "random_row_keys": ("D2", "concepts/idempotency.py", "key each row"),
    "no_reply_to_silence": ("D5", "concepts/human_gate.py", "never told"),
    "injectable": ("D5", "concepts/human_gate.py", "breaks out"),
    "customer_only": ("D5", "concepts/human_gate.py", "matched by customer only"),
    "no_ledger": ("D5", "concepts/idempotency.py", "in the ledger"),
    "asks_first": ("D5", "concepts/human_gate.py", "before the run waits"),
    "text_is_yes": ("D5", "concepts/human_gate.py", "of any text is true"),
}


def build_at(engine_url: str, worker: str, **options: Any) -> Gated:
    url = os.environ["DATABASE_URL"]
    return Gated(engine_url, url, worker=worker, patience=PATIENCE_SECONDS, limits=LIMITS, **options)


async def checked(engine: DevServer, *names: str, worker: str = LEARNER, **options: Any) -> Report:
    report = Report(io.StringIO())
    await run(list(names), build_at(engine.origin, worker, **options), report)
    return report


async def report_of(app: fastapi.FastAPI, *names: str, app_id: str = "my-worker", **options: Any) -> Report:
    async with served(app, app_id) as engine:
        return await checked(engine, *names, **options)


def all_holds(report: Report) -> bool:
    """Whether everything holds, but for the death of a process, for which a build needs the hook."""
    assert report.failed == []
    return [finding.gate for finding in report.findings if finding.passed is None] == ["D1"]


async def alone(worker: str, **options: Any) -> Report:
    """What D0 finds, which needs no engine."""
    report = Report(io.StringIO())
    await run(["d0"], build_at("http://127.0.0.1:1", worker, **options), report)
    return report


async def test_a_right_build_with_names_of_its_own_passes_every_gate(database: None) -> None:
    report = await report_of(RIGHT.app(), *NERVES, beyond=True)
    assert all_holds(report)
    assert len(report.findings) > 30


async def test_the_reference_passes_every_gate(database: None) -> None:
    assert all_holds(await report_of(inngest_app.app, *NERVES, app_id="customer-support", beyond=True))


@pytest.fixture
async def empty(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A database with nothing in it."""
    server, name = os.environ["DATABASE_URL"], f"empty_{uuid4().hex}"
    administrator = await asyncpg.connect(server)
    await administrator.execute(f"create database {name}")
    monkeypatch.setenv("DATABASE_URL", server.rpartition("/")[0] + f"/{name}")
    yield
    await administrator.execute(f"drop database {name} with (force)")
    await administrator.close()


@pytest.fixture
async def plain_store(empty: None) -> AsyncIterator[None]:
    """The two tables that the course's store prompt leads to, both empty."""
    await (await plain_database.pool()).execute(plain_database.TABLES)
    yield
    await plain_database.close()


async def test_the_courses_own_plain_build_passes_and_hears_what_would_be_better(plain_store: None) -> None:
    await plain_database.seed()
    report = await report_of(plain.app(), *NERVES, app_id="customer-support")
    assert all_holds(report)
    (hint,) = [finding.advice for finding in report.findings if finding.advice]
    assert "breaks out" in hint.cause


@pytest.fixture
async def shop(empty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's tables, with its customers in them."""
    monkeypatch.setenv("PER_MINUTE", str(LIMITS[2]))
    await shop_models.create_tables()


async def test_a_package_on_sqlalchemy_with_names_of_its_own_passes_every_gate(shop: None) -> None:
    report = await report_of(shop_durable.app(), *NERVES, app_id="shop")
    assert all_holds(report)
    assert [finding for finding in report.findings if finding.advice] == []


class Mortal:
    """An app whose process can die: then it takes requests and answers none, until its file is touched."""

    def __init__(self, app: Any, file: Path, died_at: list[int]) -> None:
        self.app, self.file, self.died_at = app, file, died_at

    async def __call__(self, *request: Any) -> None:
        while self.died_at and self.died_at[-1] == self.file.stat().st_mtime_ns:
            await asyncio.sleep(0.05)
        await self.app(*request)


async def after_its_death(
    app: fastapi.FastAPI, app_id: str, step: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Report:
    """What D2 finds in a build whose process dies once, after this step."""
    file, died_at = tmp_path / "worker.py", list[int]()
    file.touch()

    def die(_: int) -> None:
        died_at.append(file.stat().st_mtime_ns)
        kept_in_memory.KEPT.clear()
        raise ConnectionError("the process is gone")

    monkeypatch.setattr(module, "os", SimpleNamespace(environ={"DIE_AFTER": step}, _exit=die))
    monkeypatch.setattr(hook, "ANSWER_SECONDS", 0.2)
    app.add_middleware(Mortal, file=file, died_at=died_at)
    report = await report_of(app, "d2", app_id=app_id, worker=f"python {file}", die_after=step)
    assert died_at
    return report


async def test_a_build_with_the_hook_dies_and_goes_on(
    shop: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = await after_its_death(shop_durable.app(), "shop", "assist", shop_durable, monkeypatch, tmp_path)
    assert report.failed == []
    assert report.findings[-1].seen == "1 deaths after assist"


async def test_what_a_step_keeps_in_memory_is_gone_with_the_process(
    database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = kept_in_memory.BUILD.app()
    report = await after_its_death(app, "my-worker", "log-in", kept_in_memory, monkeypatch, tmp_path)
    (failed,) = report.failed
    assert failed.advice is not None
    assert "in the process's memory" in failed.advice.cause


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """D0's workers start at once. As programs, as a learner's, they start in tests/e2e/test_checkpoints.py."""

    async def start(_: str, option: str, *command: str, env: dict[str, str], **__: object) -> forked.Module:
        assert option == "-m"
        return forked.Module(*command, environment=env, printed=tmp_path / uuid4().hex)

    monkeypatch.setattr("gates.d0.asyncio.create_subprocess_exec", start)


@pytest.mark.usefixtures("forked_workers")
async def test_the_courses_own_plain_worker_passes_d0(plain_store: None) -> None:
    assert (await alone(PLAIN)).failed == []


@pytest.mark.usefixtures("forked_workers")
async def test_the_worker_of_a_package_passes_d0(shop: None) -> None:
    assert (await alone(SHOP)).failed == []


async def test_a_store_that_lacks_something_is_a_finding_and_can_be_told(plain_store: None) -> None:
    connections = await plain_database.pool()
    await connections.execute("alter table audit_log rename column customer_id to about")
    assert any("says which customer" in finding.seen for finding in (await alone("true")).failed)
    await plain_database.seed()
    told = await alone("true", audit="audit_log(about, action)", beyond=True)
    seen = [finding.seen for finding in told.failed]
    assert seen[:2] == ["nothing", "it does not say that it paused; nothing"]
    # An error of another kind is no proof that the table takes an action.
    assert seen[2].startswith("UndefinedColumnError")


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize(
    ("fault", "words"), [("pays_at_once", "does not need approval"), ("no_tools", "promises a refund in words")]
)
async def test_a_worker_that_does_not_pause_is_found_without_an_engine(fault: str, words: str, database: None) -> None:
    (finding,) = (await alone(f"python -m tests.wrong_builds.{fault}")).failed
    assert finding.advice is not None
    assert words in finding.advice.cause


@pytest.mark.parametrize(("decision", "build"), [(1, early.after_d1), (2, early.after_d2)])
async def test_a_build_on_its_way_passes_the_gates_so_far_and_not_the_next(
    decision: int, build: Callable[[], fastapi.FastAPI], database: None
) -> None:
    names = [f"d{number}" for number in range(1, decision + 2)]
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


async def test_what_is_beyond_the_course_is_not_asked_of_a_learner(database: None) -> None:
    wrong = [import_module(f"tests.wrong_builds.{fault}").BUILD for fault in BEYOND]
    parts = {part.name for part in fields(RIGHT)}
    changed = {
        part: getattr(each, part) for each in wrong for part in parts if getattr(each, part) != getattr(RIGHT, part)
    }
    assert len(changed) > 6
    assert (await report_of(RIGHT.but(**changed).app(), "d2", "d5")).failed == []


def test_a_span_that_was_planned_while_the_run_slept_is_no_attempt() -> None:
    planned = {"name": "b", "stepId": "1", "stepOp": "RUN", "status": "RUNNING", "startedAt": "2026-11-20T20:00:00Z"}
    done = planned | {
        "status": "COMPLETED",
        "startedAt": "2026-11-20T20:00:15Z",
        "endedAt": "2026-11-20T20:00:16Z",
        "output": {"data": "bye"},
    }
    slept = {"name": "a", "stepId": "0", "stepOp": "SLEEP", "status": "WAITING", "startedAt": "2026-11-20T20:00:01Z"}
    sleep, step = steps_of([planned, slept, done])
    assert sleep.name == "a"
    (same,) = steps_of([planned | {"status": "COMPLETED", "endedAt": "2026-11-20T20:00:16Z"}, done])
    assert same.attempts == step.attempts
    assert [(attempt.number, attempt.status) for attempt in step.attempts] == [(1, "COMPLETED")]
    assert step.output == {"data": "bye"}
    assert [attempt.status for attempt in steps_of([planned])[0].attempts] == ["RUNNING"]


@pytest.mark.parametrize(
    ("action", "is_paid", "is_blocked"),
    [
        ("refund_issued", True, False),
        ("REFUND", True, False),
        ("refund_approved", True, False),
        ("refund_blocked", False, True),
        ("refund_not_issued", False, True),
        ("refund_timeout", False, True),
        ("refund_requested", False, False),
        ("message_sent", False, False),
    ],
)
def test_an_action_is_read_by_its_words(action: str, is_paid: bool, is_blocked: bool) -> None:
    assert (contract.pays(action), contract.blocks(action)) == (is_paid, is_blocked)


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
        assert "let the farewell step raise" in missing.advice.cause
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
    report = Report(io.StringIO())
    build = Gated("http://127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(RowsError, match="DATABASE_URL"):
        asyncio.run(run(["d0"], build, report))
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
        await run(["d1"], Gated("http://127.0.0.1:1", os.environ["DATABASE_URL"]), Report(io.StringIO()))


def test_there_is_a_gate_for_every_decision() -> None:
    assert list(GATES) == ["quick-win", "d0", "d1", "d2", "d3", "d4", "d5", "d6"]


def test_what_a_gate_tells_to_reread_exists() -> None:
    modules = [*GATES.values(), source]
    advices = [value for module in modules for value in vars(module).values() if isinstance(value, Advice)]
    assert len(advices) > 30
    assert [advice.source for advice in advices if not (ROOT / advice.source).is_file()] == []
