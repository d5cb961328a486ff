"""Killed at any moment, the app finishes by itself, and leaves exactly what an undisturbed run leaves.

A story is told once undisturbed, which shows how many points there are; then once for each point (or for a few of
them), with a SIGKILL there and a new process after it. TORTURE=all takes every point, KILL_AT=7 just that one, SEED
another choice.
"""

import asyncio
import multiprocessing
import os
import random
from collections.abc import Awaitable, Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import db
from offline.inngest_server import DevServer
from offline.postgres import EmbeddedPostgres
from tests.durable.driver import OFFICIAL, Engine, actions, ledger
from tests.e2e import killable_app
from tests.ports import free_port

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="each kill costs a real retry delay on the official server")
SAMPLE = 4
DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."

# A new process has everything imported: what a kill costs is the retry, not the start.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.e2e.killable_app"])


class Stage:
    """One story's engine and app process; the process is started again whenever it is found dead."""

    def __init__(self, engine: Engine, server: DevServer, port: int, folder: Path, database_url: str) -> None:
        self.engine = engine
        self._server = server
        self._port = port
        self._log = folder / "points"
        self._database_url = database_url
        self._process: BaseProcess | None = None
        self._restarted = False

    async def start(self, kill_at: int | None) -> None:
        """Start the app and wait until it answers and is known to the engine."""
        names = ("MODEL", "MODEL_PROVIDER")
        environment = {name: os.environ[name] for name in names}
        self._process = processes.Process(
            target=killable_app.serve, args=(self._port, self._database_url, environment, self._log, kill_at)
        )
        self._process.start()
        while not await self._answers("PUT", "/api/inngest"):
            await asyncio.sleep(0.01)

    async def until(self, question: Callable[[], Awaitable[Any]], expected: Any) -> None:
        """Let time pass, a retry delay at once, and restart the app if it is dead, until the answer is as expected."""
        answer = None
        for _ in range(40):
            await self._server.settle()
            if (answer := await question()) == expected:
                return
            if not await self._answers("GET", "/healthz"):
                self._restarted = True
                self.stop()
                await self.start(kill_at=None)
            await self.engine.advance(seconds=30)
        raise AssertionError(f"expected {expected}, the last answer is {answer}")

    async def _answers(self, method: str, path: str) -> bool:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as http:
            try:
                return (await http.request(method, path)).is_success
            except httpx.TransportError:
                return False

    def points(self) -> list[str]:
        """The points passed so far, by all processes."""
        return self._log.read_text().splitlines()

    def stop(self) -> bool:
        """End the app; whether it had killed itself, now or earlier."""
        if self._process is None:
            return False
        # The last point is passed after the engine has its answer: the process may be dying still.
        self._process.join(0.2)
        dead = not self._process.is_alive() or self._restarted
        self._process.kill()
        self._process.join()
        return dead


async def plain(stage: Stage) -> None:
    await stage.engine.email("How long does shipping to Norway take?")
    await stage.until(actions, {"message_received": 1, "message_sent": 1})


async def approved(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(ledger, [("pending", None)])
    await stage.engine.decide(approved=True, request_id=event_id)
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


async def rejected(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(ledger, [("pending", None)])
    await stage.engine.decide(approved=False, request_id=event_id)
    await stage.until(actions, {"message_received": 1, "refund_blocked": 1, "message_sent": 1})


async def failing(stage: Stage) -> None:
    await stage.engine.email(DOUBLE, "cust_404")
    await stage.until(actions, {"run_failed": 1})


async def fan_out(stage: Stage) -> None:
    await stage.engine.invoke("customer-support-daily-health-check")
    await stage.until(actions, {"health_check": 3})


async def left_behind() -> list[Any]:
    """The audit trail and the ledger, without what differs from run to run."""
    trail = await db.fetch(
        "select action, customer_id, split_part(key, ':', 2) as step from audit_log order by 1, 2, 3"
    )
    refunds = await db.fetch(
        "select customer_id, order_id, amount_cents, status, decision, approved_cents, decided_by"
        " from refunds order by id"
    )
    return [trail, refunds]


@pytest.fixture
async def tell(
    database: None, postgres: EmbeddedPostgres, tmp_path: Path
) -> Callable[..., Awaitable[tuple[list[str], bool, list[Any]]]]:
    """Tell a story from an empty database, killing the app at a point.

    What is told returns the points passed, whether the app was killed, and what was left behind.
    """
    port = free_port()

    async def told(story: Callable[[Stage], Awaitable[None]], kill_at: int | None) -> tuple[list[str], bool, list[Any]]:
        await db.fetch("truncate audit_log, refunds restart identity")
        (tmp_path / "points").write_text("")
        url = os.environ["INNGEST_DEV"]
        async with DevServer(port=urlsplit(url).port or 0, poll=False) as server:
            stage = Stage(Engine(url, server), server, port, tmp_path, postgres.url)
            try:
                await stage.start(kill_at)
                await story(stage)
                await server.settle()
                return stage.points(), stage.stop(), await left_behind()
            finally:
                stage.stop()

    return told


@pytest.mark.timeout(3600 if os.environ.get("TORTURE") else 120)
@pytest.mark.parametrize("story", [plain, approved, rejected, failing, fan_out], ids=lambda story: story.__name__)
async def test_a_kill_leaves_what_an_undisturbed_run_leaves(
    tell: Callable[..., Awaitable[tuple[list[str], bool, list[Any]]]], story: Callable[[Stage], Awaitable[None]]
) -> None:
    points, _, undisturbed = await tell(story, None)
    seed = os.environ.get("SEED", "1")
    chosen = random.Random(seed).sample(range(len(points)), len(points))
    if "KILL_AT" in os.environ:
        chosen = [int(os.environ["KILL_AT"])]
    elif os.environ.get("TORTURE") != "all":
        chosen = chosen[:SAMPLE]
    for kill_at in chosen:
        replay = f"{story.__name__}, killed at {kill_at} of {len(points)} ({points[kill_at]}); again: KILL_AT={kill_at}"
        try:
            _, killed, left = await tell(story, kill_at)
        except Exception as error:
            raise AssertionError(replay) from error
        assert left == undisturbed, replay
        assert killed, f"the app was not killed: {replay}"
