"""Every row of docs/diagnose.md, reproduced: the cause is made, and the row's command shows it."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import inngest
import pytest

import db
import inngest_app
from tests.durable.driver import OFFICIAL, Engine, actions, refunds_in_ledger
from tests.durable.test_gates import FAULTS
from tests.serving import served
from tests.wrong_builds import row_outside_a_step
from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer

pytestmark = [
    pytest.mark.skipif(bool(OFFICIAL), reason="each symptom needs an engine of its own"),
    pytest.mark.timeout(240),
]
TABLE = (Path(__file__).parents[2] / "docs" / "diagnose.md").read_text()
ROWS = {
    cells[0]: cells[3].strip("`") for cells in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", TABLE, re.M)[1:]
}
# The symptoms that a wrong build stands for; tests/durable/test_gates.py shows that the gate finds each.
BY_GATE = {
    "an event is sent, no run begins": "typo",
    "the model is asked again and again": "work_outside_a_step",
    "every customer is checked twice each morning": "no_event_ids",
    "emails disappear in a burst": "rate_limit",
    "one customer holds up all others": "no_tenant_key",
    "after four hours the run fails": "no_timeout_branch",
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


@pytest.mark.parametrize("symptom", BY_GATE)
def test_the_gate_that_a_row_names_is_the_one_that_finds_it(symptom: str) -> None:
    gate, *_ = FAULTS[BY_GATE[symptom]]
    assert ROWS[symptom] == f"python -m gates {gate.lower()}"


async def email(url: str, text: str, customer_id: str = "cust_002", event_id: str = "mail") -> None:
    """A customer writes."""
    event = {
        "name": "customer/email.received",
        "id": event_id,
        "data": {"customer_id": customer_id, "email_text": text},
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.post(f"{url}/e/test", json=event)).raise_for_status()


@shows("the dashboard lists no app")
async def test_an_app_that_was_never_synced_is_listed_after_a_put(database: None) -> None:
    async with served(RIGHT.app(), "my-worker") as engine:
        (app,) = engine.apps()
        url = app.url
        engine.state.apps.clear()
        assert engine.apps() == []
        assert "curl -X PUT" in ROWS["the dashboard lists no app"]
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.put(url)).raise_for_status()
        assert [found.id for found in engine.apps()] == ["my-worker"]


@shows("rows of one email are there more than once")
async def test_rows_written_outside_a_step_are_found_by_the_query(database: None) -> None:
    async with served(row_outside_a_step.BUILD.app(), "my-worker") as engine:
        await email(engine.origin, "How long does shipping take?")
        await engine.settle()
        found = await db.fetch(ROWS["rows of one email are there more than once"])
        assert [(row["action"], row["count"] > 1) for row in found] == [("message_received", True)]


@shows("the yes does nothing")
async def test_a_yes_as_text_leaves_the_refund_pending(engine: Engine) -> None:
    event_id = await engine.email("I was charged twice for order A-1001, $49.00 too much.")
    await engine.eventually(refunds_in_ledger, [("pending", None)])
    await engine.decide(approved="true", request_id=event_id)
    await engine.decide(approved=True, request_id="another")
    await engine.settle()
    (row,) = await db.fetch(ROWS["the yes does nothing"])
    assert (row["request_id"], row["status"]) == (event_id, "pending")


@shows('a run fails at once with "There is no customer"')
async def test_an_unknown_customer_stands_in_the_row(engine: Engine) -> None:
    await engine.email("Hello?", "cust_404")
    await engine.eventually(actions, {"run_failed": 1})
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

    async def answered(ctx: inngest.Context, text: str, _: Customer) -> Any:
        return await ctx.step.run("think", think, text)

    async with served(RIGHT.but(answered=answered).app(), "my-worker") as engine:
        await email(engine.origin, "Hello?")
        await engine.settle()
        assert done == ["Hello?"]
        await engine.advance(timedelta(minutes=1))
        assert len(done) > 1
        errors = [str(attempt) for run in engine.runs() for attempt in run.attempts]
        assert any("unserializable" in error for error in errors), errors
