"""`GET /metrics`: who may read it, what it counts, and that the alert rules ask for what is there."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import fastapi
import httpx
import inngest
import pytest
from prometheus_client.parser import text_string_to_metric_families

import db
from offline.processes import free_port
from telemetry import metrics, usage
from telemetry.current import Run
from telemetry.middleware import End
from telemetry.prices import OPENAI
from tests.desk import asked, pay
from tests.ledger import decide

pytestmark = pytest.mark.usefixtures("database")
ALERTS = Path(__file__).parents[2] / "telemetry" / "alerts.yml"
BEARER = {"authorization": "Bearer s3cr3t"}


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch, database: None) -> AsyncIterator[httpx.AsyncClient]:
    """An app with /metrics at its own port."""
    monkeypatch.setenv("METRICS_TOKEN", "s3cr3t")
    app = fastapi.FastAPI()
    app.include_router(metrics.routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        yield client
    await db.close()


async def read(http: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every number of the page, by the metric's name and its labels' values, in the order of the labels' names."""
    page = await http.get("/metrics", headers=BEARER)
    assert page.status_code == 200
    samples = [sample for family in text_string_to_metric_families(page.text) for sample in family.samples]
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value for sample in samples
    }


async def test_only_who_has_the_token_may_read_it(http: httpx.AsyncClient) -> None:
    for given in ("", "Bearer wrong", "s3cr3t", "Bearer é"):
        assert (await http.get("/metrics", headers={b"authorization": given.encode()})).status_code == 401
    assert (await http.get("/metrics", headers=BEARER)).status_code == 200


async def test_at_an_address_of_its_own_it_is_served_while_the_app_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("METRICS_LISTEN", address)
    app = fastapi.FastAPI()
    app.include_router(metrics.routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.get("/metrics")).status_code == 404
    async with app.router.lifespan_context(app), httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{address}/metrics")).status_code == 200
        monkeypatch.setenv("METRICS_TOKEN", "s3cr3t")
        assert (await client.get(f"http://{address}/metrics")).status_code == 401


async def test_refunds_are_counted_as_the_ledger_has_them(http: httpx.AsyncClient) -> None:
    paid, declined, _waiting = [await asked(f"A-{number}", 1000 * number) for number in (1, 2, 3)]
    await decide(paid, approved=True, by="grace", amount_cents=900)
    await decide(declined, approved=False, by="grace", note="No.")
    await pay(paid)
    await db.record("run_failed", "run-9", "audit-run-failed", "cust_001", error="x", email_text="x")
    found = await read(http)
    assert found["support_refunds", "approved", "issued"] == 1
    assert found["support_refund_cents", "approved", "issued"] == 900
    assert found["support_refund_cents", "rejected", "rejected"] == 2000
    assert found["support_approvals_waiting",] == found["support_needs_person",] == 1
    assert found["support_payments_without_outcome",] == 0
    assert 0 < found["support_oldest_approval_seconds",] < 60
    assert found["support_decision_seconds_count",] == found["support_decision_seconds_bucket", "60"] == 2
    assert found["support_pool_size",] == 10


async def test_steps_emails_tokens_and_money_are_counted_as_they_happen(http: httpx.AsyncClient) -> None:
    before = await read(http)
    first, second = (Run("handle-customer-email", "run-1", "mail-1", attempt, None) for attempt in (0, 1))
    observer = metrics.Counted()
    email = inngest.Event(name="customer/email.received")
    observer.ended(first, email, End("run-agent", ConnectionError(), 2.0, waits=False))
    observer.ended(second, email, End("run-agent", None, 3.0, waits=False))
    observer.ended(second, email, End("await-refund-approval", None, 3.0, waits=True))
    observer.ended(first, email, End(None, None, 0.1, waits=False))
    metrics.count_call(usage.Call("gpt-5.4-mini", OPENAI, 1.0, None, None, 2000, 1000, 0, 100, 50))
    metrics.count_call(usage.Call("rule-based", None, 1.0, input_tokens=7))
    found = await read(http)

    def grown(*name: str) -> float:
        return round(found[name] - before.get(name, 0), 9)

    assert grown("support_steps_total", "0", "failed", "run-agent") == 1
    assert grown("support_steps_total", "1", "done", "run-agent") == 1
    assert grown("support_emails_total", "answered") == 1
    assert grown("support_tokens_total", "cached", "gpt-5.4-mini") == 1000
    assert grown("support_model_dollars_total", "gpt-5.4-mini") == 0.001275
    assert ("support_model_dollars_total", "rule-based") not in found


async def test_without_a_database_it_says_so(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await db.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3cr3t@127.0.0.1:1/away")
    page = await http.get("/metrics", headers=BEARER)
    assert (page.status_code, page.text) == (503, "The database does not answer: ConnectionRefusedError")


async def test_every_alert_asks_for_metrics_that_there_are(http: httpx.AsyncClient) -> None:
    page = (await http.get("/metrics", headers=BEARER)).text
    there = {
        name
        for family in text_string_to_metric_families(page)
        for name in (family.name, f"{family.name}_total", *(sample.name for sample in family.samples))
    }
    asked_for = set(re.findall(r"support_\w+", ALERTS.read_text()))
    assert len(asked_for) >= 10
    assert asked_for - there == set()
