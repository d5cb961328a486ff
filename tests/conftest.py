"""What every test stands on: a Postgres of its own and an environment in which nothing of the learner's is visible."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.ports import free_port

pytest_plugins = ["offline.pytest_plugin", "pytester"]

# Before anything imports the app, which reads its settings once.
FOREIGN = (
    "OPENAI_API_KEY OPENAI_BASE_URL INNGEST_EVENT_KEY INNGEST_SIGNING_KEY ENCRYPTION_KEY REFUND_LIMIT_CENTS"
    " PAYMENTS STRIPE_API_KEY STRIPE_API_BASE STRIPE_WEBHOOK_SECRET EMAIL_WEBHOOK_AUTH"
    " REVIEWERS DESK_URL REVIEWER_WEBHOOK_URL SMTP_URL MAIL_FROM"
)
for name in FOREIGN.split():
    os.environ.pop(name, None)
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for the whole session."""
    with EmbeddedPostgres() as server:
        os.environ["DATABASE_URL"] = server.url
        yield server


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """The tables as after `python db.py`: the five customers and nothing else."""
    await db.migrate()
    await forget_everything()
    await db.fetch("delete from customers")
    await db.migrate()
    yield
    await db.close()
