"""The same worker under another engine: the same emails leave the same rows, also when the process is killed.

Runs on Postgres alone: DBOS has no server. The rows to compare with are the nervous system's own, from the stand-in.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import db
from offline.processes import free_port
from tests import forked
from tests.durable.conftest import engine  # noqa: F401
from tests.durable.driver import OFFICIAL, Engine, actions, refunds_in_ledger
from tests.ledger import decide, forget_everything

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="the rows to compare with come from the stand-in")
START_SECONDS = 60
QUESTION = "How long does shipping to Norway take?"
DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
ENDED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}


class OtherApp:
    """The port, as a process that can be killed."""

    def __init__(self, log: Path, **settings: str) -> None:
        self.log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self.start()

    def start(self) -> None:
        """Begin, or begin again."""
        command = ("uvicorn", "tests.swap.dbos_app:app", "--port", str(self.port))
        self.process = forked.Module(*command, environment=os.environ | self.settings, printed=self.log)

    async def post(self, path: str, data: Any) -> None:
        """Post, when it listens."""
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(base_url=self.url, trust_env=False) as http:
            while True:
                try:
                    (await http.post(path, json=data)).raise_for_status()
                    return
                except httpx.ConnectError:
                    assert self.process.returncode is None, self.process.tail()
                    await asyncio.sleep(0.05)

    async def email(self, text: str, event_id: str) -> None:
        """A customer writes."""
        await self.post(f"/emails/{event_id}", {"customer_id": "cust_002", "email_text": text})


@pytest.fixture
def other(database: None, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OtherApp]:
    """The port, running."""
    other = OtherApp(tmp_path / "log", **getattr(request, "param", {}))
    yield other
    other.process.kill()


async def until(question: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Wait until the question is answered as expected."""
    for _ in range(1200):
        if (answer := await question()) == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"expected {expected}, the last answer is {answer}")


async def rows() -> list[Any]:
    """The audit trail without what names the run, as the reference of a payment does."""
    return await db.fetch(
        "select action, customer_id, split_part(key, ':', 2) as step,"
        " regexp_replace(detail::text, '\"ledger:[0-9a-f]+\"', 'ledger') as detail"
        " from audit_log order by action, detail ->> 'event_id'"
    )


async def test_the_same_emails_leave_the_same_rows(other: OtherApp, engine: Engine) -> None:  # noqa: F811
    await engine.email(QUESTION, event_id="plain")
    await engine.email(DOUBLE, event_id="double")
    await engine.until(refunds_in_ledger, [("pending", None)])
    await decide_all()
    await engine.decide(request_id="double")
    ended = {"message_received": 2, "refund_issued": 1, "message_sent": 2}
    await engine.until(actions, ended)
    expected = await rows()
    await forget_everything()
    await other.email(QUESTION, "plain")
    await other.email(DOUBLE, "double")
    await until(refunds_in_ledger, [("pending", None)])
    await other.post("/decisions/double", {"approved": True})
    await until(actions, ended)
    assert [row["action"] for row in await rows()] == [row["action"] for row in expected]
    assert await rows() == expected


async def decide_all() -> None:
    """A person says yes to what waits."""
    for row in await db.fetch("select id from refunds where status = 'pending'"):
        assert await decide(row["id"], approved=True, by="grace", key=str(row["id"])) is None


async def test_a_kill_while_it_waits_loses_nothing_and_pays_once(other: OtherApp) -> None:
    await other.email(DOUBLE, "killed")
    await until(refunds_in_ledger, [("pending", None)])
    other.process.kill()
    other.start()
    await other.post("/decisions/killed", {"approved": True})
    await until(actions, ENDED)
    await other.post("/decisions/killed", {"approved": True})
    await other.email(DOUBLE, "killed")
    assert await actions() == ENDED


@pytest.mark.parametrize("other", [{"WINDOW_SECONDS": "1"}], indirect=True)
async def test_nobody_answers_and_nothing_is_paid(other: OtherApp) -> None:
    await other.email(DOUBLE, "silence")
    await until(actions, {"message_received": 1, "refund_blocked": 1, "message_sent": 1})
