"""What every test stands on: a Postgres of its own and an environment in which nothing of the learner's is visible."""

import asyncio
import functools
import inspect
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from offline.processes import free_port

pytest_plugins = ["offline.pytest_plugin", "pytester"]

# Before anything imports the app, which reads its settings once.
FOREIGN = (
    "OPENAI_API_KEY OPENAI_BASE_URL INNGEST_EVENT_KEY INNGEST_SIGNING_KEY INNGEST_SIGNING_KEY_FALLBACK INNGEST_ENV"
    " INNGEST_BASE_URL INNGEST_SERVE_ORIGIN INNGEST_CONNECT INNGEST_STREAMING FORWARDED_ALLOW_IPS ENCRYPTION_KEY"
    " REQUESTS_PER_EMAIL PAYMENTS STRIPE_API_KEY STRIPE_API_BASE STRIPE_WEBHOOK_SECRET EMAIL_WEBHOOK_AUTH"
    " REVIEWERS DESK_URL REVIEWER_WEBHOOK_URL SMTP_URL MAIL_FROM HTTP_PROXY HTTPS_PROXY ALL_PROXY"
)
for name in FOREIGN.split():
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)
os.environ |= {
    "PYTHON_DOTENV_DISABLED": "1",
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/not-started",
    "INNGEST_DEV": os.environ.get("INNGEST_TEST_SERVER") or f"http://127.0.0.1:{free_port()}",
    "MODEL_PROVIDER": "offline.model:RuleBasedProvider",
    "MODEL": "rule-based",
    # Bursts are tested without the throttle; its default is tested by itself.
    "EMAIL_THROTTLE_PER_MINUTE": "6000",
}

import db  # noqa: E402
from offline.postgres import EmbeddedPostgres  # noqa: E402
from tests.ledger import forget_everything  # noqa: E402


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """End a test that waits for too long inside the event loop, with the place where it waits.

    This comes before the limit of pytest-timeout, which counts fixtures, too, and has to end the whole process.
    """
    seconds = 0.8 * float(config.getoption("timeout") or config.getini("timeout"))
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj, seconds)


def _limited(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*arguments, **named)

    return limited


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Nothing here speaks TLS over httpx, and every new client would read all certificates anew (20 ms each time)."""
    context = ssl.create_default_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: context)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for the whole session."""
    with EmbeddedPostgres() as server:
        os.environ["DATABASE_URL"] = server.url
        yield server


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """The tables as after `python db.py`: the five customers and nothing else."""
    # A test that ran without a database may have made a pool, which would look for one in vain.
    await db.close()
    await db.migrate()
    await forget_everything()
    await db.fetch("delete from customers")
    await db.migrate()
    yield
    await db.close()
