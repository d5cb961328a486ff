"""What every test stands on: a Postgres of its own and an environment in which nothing of the learner's is visible."""

import asyncio
import functools
import gc
import inspect
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from offline.processes import free_port

# Begun in the background of a script, tests ignore Ctrl-C, and so would the programs that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# While a million objects are imported that stay, looking among them for garbage would take a quarter of the time.
gc.disable()
pytest_plugins = ["offline.pytest_plugin", "pytester"]

# Before anything imports the app, which reads its settings once.
FOREIGN = (
    "OPENAI_API_KEY OPENAI_BASE_URL INNGEST_EVENT_KEY INNGEST_SIGNING_KEY INNGEST_SIGNING_KEY_FALLBACK INNGEST_ENV"
    " INNGEST_BASE_URL INNGEST_SERVE_ORIGIN INNGEST_CONNECT INNGEST_STREAMING FORWARDED_ALLOW_IPS ENCRYPTION_KEY"
    " REQUESTS_PER_EMAIL PAYMENTS STRIPE_API_KEY STRIPE_API_BASE STRIPE_WEBHOOK_SECRET EMAIL_WEBHOOK_AUTH"
    " REVIEWERS DESK_URL REVIEWER_WEBHOOK_URL SMTP_URL MAIL_FROM HTTP_PROXY HTTPS_PROXY ALL_PROXY MODEL_EASY"
    " SECOND_APPROVER_CENTS RETENTION_DAYS METRICS_TOKEN METRICS_LISTEN OTEL_EXPORTER_OTLP_ENDPOINT"
    " OTEL_EXPORTER_OTLP_HEADERS"
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

# The pools that were made for the tables of this session.
kept: set[db.Pool] = set()


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not among what was imported."""
    gc.freeze()
    gc.enable()


# Begun late, a file that takes a minute or more would be the last one, and all other processes would wait for it.
LONGEST = ("tests/durable/test_gates.py", "tests/e2e/", "tests/adversary/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and end a test that waits for too long, with the place where it waits.

    A wait inside the event loop is ended before the limit of pytest-timeout, which counts fixtures, too, and has to end
    the whole process.
    """
    items.sort(key=lambda item: next((n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start)), 9))
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


@pytest.fixture
def inngest_starts_at() -> datetime:
    """Every stand-in's clock starts at an hour from which the next cron is as far away whenever tests run."""
    from tests.serving import quiet_hour  # noqa: PLC0415 (what it imports takes a second)

    return quiet_hour()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for the whole session."""
    with EmbeddedPostgres() as server:
        os.environ["DATABASE_URL"] = server.url
        yield server


@pytest.fixture(scope="session")
async def tables(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """The tables as `python db.py` makes them."""
    await db.close()
    await db.migrate()
    yield
    await db.close()


@pytest.fixture
async def database(tables: None) -> AsyncIterator[None]:
    """The tables as after `python db.py`: the five customers and nothing else.

    The pool stays open from test to test, because a connection costs Postgres and this process 7 ms of CPU.
    """
    loop = asyncio.get_running_loop()
    if db._pools.get(loop) not in kept:
        # A test that ran without a database has made it, and it would look for one in vain.
        await db.close()
    pool = await db.pool()
    kept.add(pool)
    await forget_everything()
    yield
    if db._pools.get(loop) is not pool or pool.get_idle_size() < pool.get_size():
        # The test has made another one, or left a connection in use.
        await db.close()
