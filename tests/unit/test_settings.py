"""Settings: the app refuses to start on what cannot work, in one line that names the variable.

Runs without any account. Most tests run the file in this process, because a new one needs seconds to start.
"""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from offline.processes import free_port

ROOT = Path(__file__).parents[2]
URL = "postgresql://ada:s3cr3t@db.invalid/app"
KEYS = {"INNGEST_EVENT_KEY": "event-key-1234", "INNGEST_SIGNING_KEY": "signkey-prod-1234"}
PRODUCTION = KEYS | {"INNGEST_SERVE_ORIGIN": "https://support.example.com", "PAYMENTS": "ledger"}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Import the app as a new process with these settings would; what it then has at its top level."""

    def run(**environment: str) -> dict[str, Any]:
        for name in ("INNGEST_DEV", "EMAIL_THROTTLE_PER_MINUTE", *PRODUCTION):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"DATABASE_URL": URL} | environment).items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(ROOT / "inngest_app.py"))

    return run


def refusal(start: Callable[..., Any], **environment: str) -> str:
    """The one line with which the app refuses to start."""
    with pytest.raises(SystemExit) as ended:
        start(**environment)
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
    assert "s3cr3t" not in ended.value.code
    return ended.value.code


@pytest.mark.parametrize("dev", ["", "0", "false", " "])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "Not set: INNGEST_EVENT_KEY, INNGEST_SIGNING_KEY."),
        (["INNGEST_EVENT_KEY"], "Not set: INNGEST_SIGNING_KEY."),
        (["INNGEST_SIGNING_KEY"], "Not set: INNGEST_EVENT_KEY."),
    ],
)
def test_production_without_keys_is_refused_and_the_missing_ones_are_named(
    dev: str, given: list[str], missing: str, start: Callable[..., Any]
) -> None:
    said = refusal(start, INNGEST_DEV=dev, **{name: KEYS[name] for name in given})
    assert said.startswith(missing)
    assert "INNGEST_DEV" in said


def test_without_any_setting_it_is_production(start: Callable[..., Any]) -> None:
    assert refusal(start).startswith("Not set: INNGEST_EVENT_KEY, INNGEST_SIGNING_KEY.")


@pytest.mark.parametrize("dev", ["nonsense", "yes", "2", "localhost:8288", "127.0.0.1:8288", "ftp://127.0.0.1"])
def test_a_dev_setting_that_means_nothing_is_refused(dev: str, start: Callable[..., Any]) -> None:
    assert refusal(start, INNGEST_DEV=dev, **KEYS).startswith(f"INNGEST_DEV is {dev!r}: expected the dev server's URL")


@pytest.mark.parametrize("dev", ["1", "true", "True", "http://127.0.0.1:8288", "https://dev.example.com"])
def test_a_dev_server_is_asked_for_in_so_many_words(dev: str, start: Callable[..., Any]) -> None:
    app = start(INNGEST_DEV=dev)
    assert (app["DEV"], app["client"].is_production) == (True, False)


@pytest.mark.parametrize("dev", ["", "0", "false"])
def test_with_keys_it_is_production(dev: str, start: Callable[..., Any]) -> None:
    app = start(INNGEST_DEV=dev, **PRODUCTION)
    assert (app["DEV"], app["client"].is_production) == (False, True)


@pytest.mark.parametrize("signed", [{}, {"x-inngest-signature": "t=1700000000&s=0000"}])
async def test_in_production_an_unsigned_call_runs_nothing(signed: dict[str, str], start: Callable[..., Any]) -> None:
    """In dev mode the same call is taken: see the gate on refunds for why it still moves no money."""
    app = start(**PRODUCTION)["app"]
    call = {"ctx": {"run_id": "r", "attempt": 0, "stack": {"stack": []}}, "event": {}, "events": [], "steps": {}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        query = {"fnId": "customer-support-handle-customer-email", "stepId": "step"}
        answer = await http.post("/api/inngest", params=query, json=call | {"use_api": False}, headers=signed)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    "name",
    [
        *("EMAIL_CONCURRENCY", "EMAIL_CONCURRENCY_PER_CUSTOMER", "EMAIL_THROTTLE_PER_MINUTE"),
        *("DB_POOL_MAX", "REQUESTS_PER_EMAIL", "RETENTION_DAYS", "SECOND_APPROVER_CENTS"),
    ],
)
@pytest.mark.parametrize("value", ["0", "-1", "ten", "2.5", " ", "1e3"])
def test_a_number_that_is_none_is_refused(name: str, value: str, start: Callable[..., Any]) -> None:
    said = refusal(start, INNGEST_DEV="1", **{name: value})
    assert said == f"{name} is {value!r}: expected a whole number from 1 up."


@pytest.mark.parametrize("empty", [False, True])
def test_the_defaults_are_ten_at_once_two_per_customer_and_thirty_a_minute(
    empty: bool, start: Callable[..., Any]
) -> None:
    """A line of .env without a value is as good as none."""
    names = ("EMAIL_CONCURRENCY", "EMAIL_CONCURRENCY_PER_CUSTOMER", "EMAIL_THROTTLE_PER_MINUTE", "REQUESTS_PER_EMAIL")
    app = start(INNGEST_DEV="1", **dict.fromkeys(names if empty else (), ""))
    options = app["handle_customer_email"]._opts
    assert [(limit.limit, limit.key) for limit in options.concurrency] == [(10, None), (2, "event.data.customer_id")]
    assert (options.throttle.limit, options.throttle.period.total_seconds()) == (30, 60)


def test_flow_control_is_set_by_the_environment(start: Callable[..., Any]) -> None:
    numbers = {"EMAIL_CONCURRENCY": "7", "EMAIL_CONCURRENCY_PER_CUSTOMER": "3", "EMAIL_THROTTLE_PER_MINUTE": "99"}
    app = start(INNGEST_DEV="1", **numbers)
    options = app["handle_customer_email"]._opts
    assert [limit.limit for limit in options.concurrency] == [7, 3]
    assert options.throttle.limit == 99


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "DATABASE_URL is not set: "),
        ("ada:s3cr3t@host/db", "DATABASE_URL is not a Postgres URL: "),
        ("mysql://ada:s3cr3t@host/db", "DATABASE_URL is not a Postgres URL: "),
    ],
)
def test_a_missing_or_malformed_database_url_is_refused(url: str, said: str, start: Callable[..., Any]) -> None:
    assert refusal(start, INNGEST_DEV="1", DATABASE_URL=url).startswith(said)


@pytest.mark.parametrize(
    ("name", "value"),
    [("METRICS_LISTEN", "9464"), ("METRICS_LISTEN", "127.0.0.1"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")],
)
def test_an_address_that_is_none_is_refused(name: str, value: str, start: Callable[..., Any]) -> None:
    assert refusal(start, INNGEST_DEV="1", **{name: value}).startswith(f"{name} is ")


def test_dev_mode_does_not_start_with_a_key_to_real_money(start: Callable[..., Any]) -> None:
    said = refusal(start, INNGEST_DEV="1", DATABASE_URL=URL, PAYMENTS="stripe", STRIPE_API_KEY="sk_live_s3cr3t")
    assert said.startswith("STRIPE_API_KEY is a live key: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("INNGEST_SERVE_ORIGIN", "INNGEST_SERVE_ORIGIN must say where the engine reaches this app"),
        ("PAYMENTS", "PAYMENTS is not set: say stripe, or say ledger"),
    ],
)
def test_production_does_not_start_without_what_it_needs(name: str, said: str, start: Callable[..., Any]) -> None:
    assert refusal(start, **PRODUCTION | {name: ""}).startswith(said)


def test_an_address_of_the_engine_that_is_none_is_refused(start: Callable[..., Any]) -> None:
    """The SDK would take the cloud's instead, and say nothing."""
    said = refusal(start, **PRODUCTION, INNGEST_BASE_URL="engine:8288")
    assert said == "INNGEST_BASE_URL is not a URL: expected https://host/path"


def test_with_connect_nobody_has_to_reach_the_app_and_nobody_can(start: Callable[..., Any]) -> None:
    served = start(**PRODUCTION)["app"].routes
    connected = start(**PRODUCTION | {"INNGEST_SERVE_ORIGIN": "", "INNGEST_CONNECT": "1"})["app"].routes
    paths = [[getattr(route, "path", "") for route in routes] for routes in (served, connected)]
    assert [path for path in paths[0] if path not in paths[1]] == ["/api/inngest"] * 3


def test_production_says_at_its_start_what_it_will_not_do(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    start(**PRODUCTION)
    named = [record.getMessage().split(" is ")[0].split(" are ")[0] for record in caplog.records]
    assert named == ["REVIEWERS", "DESK_URL", "SMTP_URL and MAIL_FROM", "EMAIL_WEBHOOK_AUTH"]
    caplog.clear()
    start(**PRODUCTION, MODEL_PROVIDER="")
    assert any(record.getMessage().startswith("OPENAI_API_KEY is not set") for record in caplog.records)
    caplog.clear()
    start(INNGEST_DEV="1", PAYMENTS="")
    assert caplog.records == []


def test_a_new_process_ends_with_that_line_and_no_traceback() -> None:
    command = [sys.executable, "-m", "uvicorn", "inngest_app:app", "--port", str(free_port())]
    bare = {name: value for name, value in os.environ.items() if name != "INNGEST_DEV"} | {"DATABASE_URL": URL}
    ended = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Not set: INNGEST_EVENT_KEY, INNGEST_SIGNING_KEY.")
    assert ended.stderr.count("\n") == 1


def test_what_no_setting_asks_for_is_not_imported() -> None:
    """The SDKs import the small API of OpenTelemetry by themselves; what counts is its SDK."""
    program = """
import os, sys
import inngest_app
from telemetry import hooks
heavy = ["prometheus_client", "genai_prices", "opentelemetry.sdk", "opentelemetry.exporter"]
print([name for name in heavy if name in sys.modules])
os.environ["METRICS_TOKEN"] = "s3cr3t"
hooks.routes()
print([name for name in heavy if name in sys.modules])
"""
    environment = os.environ | {"INNGEST_DEV": "1", "DATABASE_URL": URL}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n['prometheus_client']\n", done.stderr
