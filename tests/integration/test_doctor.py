"""The doctor finds what is broken, says it in one sentence, and tells nobody a secret.

The engine, the model's server and Stripe are one small application here, which takes one key of each. How the official
server answers was looked up at a self-hosted one.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fastapi
import inngest
import inngest.fast_api
import pytest

import inngest_app
import migrations
from deploy import doctor, sync
from tests.mail_server import mail_server
from tests.serving import listening
from web.limits import Limits

SIGNING_KEY = "5ec2e7" * 8
AUTHORIZATION = "Bearer signkey-prod-" + hashlib.sha256(bytes.fromhex(SIGNING_KEY)).hexdigest()
SECRET = "s3cr3t"
# The mail server of the tests asks for a password without TLS, which is right for one on this machine.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
JSON = (b"content-type", b"application/json")


class Outside:
    """The engine, OpenAI and Stripe. `functions` is what the engine has registered."""

    def __init__(self) -> None:
        self.functions = [{"id": function.id} for function in inngest_app.functions]
        self.asked: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        path, given = scope["path"], dict(scope["headers"]).get(b"authorization", b"").decode()
        self.asked.append((scope["method"], path, body))
        status: int = 404
        answer: object = {}
        if path == "/v1/apps/customer-support/functions":
            status, answer = (200, self.functions) if given == AUTHORIZATION else (401, {})
        elif path.startswith("/e/"):
            status = 200 if path == f"/e/{SECRET}-event-key" else 401
        elif path == "/openai/models":
            status, answer = (200, {"data": [{"id": "gpt"}]}) if given == f"Bearer {SECRET}-model" else (401, {})
        elif path == "/v1/balance":
            status = 200 if given.startswith("Basic cmtfdGVzdF9zM2NyM3Q6") else 401
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@pytest.fixture
async def outside(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    """Everything works, as in production."""
    outside = Outside()
    async with listening(outside) as url, mail_server(auth=True) as mail:
        production = {
            "INNGEST_DEV": "",
            "INNGEST_SERVE_ORIGIN": "https://support.example.com",
            "INNGEST_EVENT_KEY": f"{SECRET}-event-key",
            "INNGEST_SIGNING_KEY": f"signkey-prod-{SIGNING_KEY}",
            "INNGEST_BASE_URL": url,
            "MODEL_PROVIDER": "",
            "MODEL": "gpt",
            "OPENAI_API_KEY": f"{SECRET}-model",
            "OPENAI_BASE_URL": f"{url}/openai",
            "PAYMENTS": "stripe",
            "STRIPE_API_KEY": f"rk_test_{SECRET}",
            "STRIPE_API_BASE": url,
            "SMTP_URL": f"smtp://support%40shop:p%2Fw%20d@127.0.0.1:{mail.port}",
            "MAIL_FROM": "support@example.com",
            "EMAIL_WEBHOOK_AUTH": f"user:{SECRET}",
            "DESK_URL": "https://support.example.com",
            "METRICS_TOKEN": f"{SECRET}-metrics",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "REVIEWER_WEBHOOK_URL": f"{url}/{SECRET}",
        }
        for name, value in production.items():
            monkeypatch.setenv(name, value)
        yield outside


async def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the doctor prints as broken; its exit code is 1 if, and only if, there is something."""
    with contextlib.suppress(Exception):  # The doctor does not come as far as this with settings that cannot work.
        monkeypatch.setattr(inngest_app, "client", inngest.Inngest(app_id="customer-support", is_production=True))
    code = doctor.report(await doctor.examine(2))
    printed = capsys.readouterr().out
    assert [secret for secret in (SECRET, SIGNING_KEY, "p/w d") if secret in printed] == []
    broken = [" ".join(line.split()[1:]) for line in printed.splitlines() if line.startswith("broken")]
    assert code == bool(broken)
    return broken


async def test_where_everything_works_nothing_is_broken_and_nothing_is_changed(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await told(monkeypatch, capsys) == []
    assert [(method, body) for method, _, body in outside.asked if method != "GET"] == [("POST", b"[]")]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PAYMENTS", "", "settings PAYMENTS is not set: say stripe, or say ledger if "),
        ("DATABASE_URL", f"postgresql://a:{SECRET}@127.0.0.1:1/b", "database It cannot be reached: "),
        (
            "DATABASE_URL",
            "wrong password",
            "database It refuses the connection: password authentication failed for user ",
        ),
        ("DB_POOL_MAX", "90", "database 2 processes with DB_POOL_MAX=90 open up to 180 connections, and the database "),
        ("INNGEST_BASE_URL", "http://127.0.0.1:1", "engine It cannot be reached: ConnectError."),
        ("INNGEST_SIGNING_KEY", f"signkey-prod-{SIGNING_KEY[::-1]}", "engine It does not accept INNGEST_SIGNING_KEY."),
        ("INNGEST_EVENT_KEY", f"{SECRET}-wrong", "engine It does not accept INNGEST_EVENT_KEY."),
        ("SMTP_URL", "wrong password", "mail The mail server refuses the user or the password with 535."),
        ("REVIEWER_WEBHOOK_URL", f"http://127.0.0.1:1/{SECRET}", "chat It cannot be reached: "),
        ("OPENAI_API_KEY", f"{SECRET}-wrong", "model The model's server does not accept OPENAI_API_KEY."),
        ("MODEL", "gtp", "model The model's server has no gtp (MODEL)."),
        ("MODEL_EASY", "gtp", "model The model's server has no gtp (MODEL_EASY)."),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "collector It cannot be reached: "),
        ("MODEL_PROVIDER", "no.such:Provider", "model MODEL_PROVIDER cannot be imported: No module named 'no'."),
        ("STRIPE_API_KEY", f"rk_test_{SECRET}-wrong", "payments Stripe does not accept STRIPE_API_KEY."),
    ],
)
async def test_what_is_broken_is_said_in_one_sentence(
    name: str,
    value: str,
    said: str,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if value == "wrong password":
        right = os.environ[name]
        value = right.replace(str(urlsplit(right).password), f"{SECRET}-wrong")
    monkeypatch.setenv(name, value)
    [broken] = await told(monkeypatch, capsys)
    assert broken.startswith(said)


async def test_a_migration_that_is_missing_and_an_engine_that_has_another_version_are_said(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "9999_later.sql").write_text("")
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    del outside.functions[0]
    missing = inngest_app.functions[0].id
    assert await told(monkeypatch, capsys) == [
        "database Not applied: 9999_later.sql. Run `python db.py`.",
        f"engine It does not know {missing}: run `python -m deploy.sync`.",
    ]
    outside.functions.clear()
    assert (await told(monkeypatch, capsys))[1:] == ["engine It does not know the app: run `python -m deploy.sync`."]


async def test_the_engine_may_still_have_the_other_key(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the midst of a rotation."""
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", f"signkey-prod-{SIGNING_KEY}")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-prod-" + "ab" * 32)
    assert await told(monkeypatch, capsys) == []


async def test_the_app_takes_the_request_to_register_that_the_operator_signs(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app asks the engine, which does not know the way to register here; so far the signature was right."""
    client = inngest.Inngest(app_id="customer-support", is_production=True)
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, inngest_app.functions, enable_unauthed_sync=False)
    app.add_middleware(Limits, signed=True)
    async with listening(app) as url:
        monkeypatch.setenv("INNGEST_SERVE_ORIGIN", url)
        assert await asyncio.to_thread(sync.main) == 1
    assert ("POST", "/fn/register") in [(method, path) for method, path, _ in outside.asked]
