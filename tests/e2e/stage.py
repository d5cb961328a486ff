"""Where a story is told: an engine, the app as a process, a proxy between the two, and at most one misfortune."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

import db
from offline.postgres import EmbeddedPostgres
from offline.processes import free_port
from tests import forked
from tests.durable.driver import OFFICIAL, Engine
from tests.e2e import killable_app
from tests.e2e.proxy import Mishap, Proxy
from tests.mail_server import MailServer, mail_server

PATIENCE_SECONDS = 30.0
Question = Callable[[], Awaitable[Any]]
Strike = Callable[["Stage"], Awaitable[None]]


@dataclass(frozen=True)
class Misfortune:
    """What goes wrong: at point number `at` the app is killed, or stands still for `strike`; or a call has a mishap."""

    at: int | None = None
    strike: Strike | None = None
    mishap: Mishap | None = None
    query_seconds: float = 15.0


@dataclass(frozen=True)
class Story:
    """An email (or a cron), the people in it, and how it ends. `model` is the MODEL it is told with.

    `with_mail`: replies are sent, to a mail server of the stage's.
    """

    name: str
    tell: Callable[["Stage"], Awaitable[None]]
    model: str = "rule-based"
    takes_hours: bool = False
    with_mail: bool = False


@dataclass
class Telling:
    """What one telling of a story came to."""

    points: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    steps: set[str] = field(default_factory=set)
    left: dict[str, Any] = field(default_factory=dict)
    struck: bool = False


class Stage:
    """One story's engine, proxy and app process; the process is started again whenever it is found dead."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path, misfortune: Misfortune, story: Story) -> None:
        self.postgres = postgres
        self.engine = Engine(seed=1)
        self.server = None if OFFICIAL else self.engine.dev_server
        self._misfortune = misfortune
        self._log = folder / "points"
        self._log.write_text("")
        self._environment = {name: os.environ[name] for name in ("MODEL_PROVIDER",)}
        self._environment |= {"MODEL": story.model, "DATABASE_URL": postgres.url, "RETENTION_DAYS": "30"}
        self._mailing = mail_server() if story.with_mail else None
        self.mail: MailServer | None = None
        self._port = free_port()
        self._proxy = Proxy(self._port, misfortune.mishap)
        self._process: BaseProcess | None = None
        self._striking: asyncio.Task[None] | None = None
        self.struck = False

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        if self._mailing is not None:
            self.mail = await self._mailing.__aenter__()
            self._environment |= {"SMTP_URL": f"smtp://127.0.0.1:{self.mail.port}", "MAIL_FROM": "support@shop.example"}
        await self._proxy.start()
        await self._start(self._misfortune.at)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._striking is not None:
            if not self.struck:
                self._striking.cancel()
            # What was done to the database is undone.
            await asyncio.wait([self._striking], timeout=PATIENCE_SECONDS)
        if self.server is None:
            await self.engine.cancel_all()
        if self._process is not None:
            self._process.kill()
            self._process.join(PATIENCE_SECONDS)
        await self._proxy.stop()
        await self.engine.__aexit__()
        if self._mailing is not None:
            await self._mailing.__aexit__(None, None, None)

    async def until(self, question: Question, expected: Any, *, again: Question | None = None) -> None:
        """Let time pass, a retry delay at once, and restart the app if it is dead, until the answer is as expected.

        `again` is done every five minutes meanwhile.
        """
        answer = None
        for number in range(1, 61 if self.server is not None else 400):
            await self.engine.settle()
            await self._struck()
            if (answer := await patiently(question)) == expected:
                return
            await self.wait(seconds=30)
            if again is not None and number % 10 == 0:
                await again()
        raise AssertionError(f"expected {expected}, the last answer is {answer}")

    async def wait(self, **duration: float) -> None:
        """Let time pass, not so much at once that a dead app could cost a run all its attempts."""
        left = timedelta(**duration)
        while left:
            await self.engine.settle()
            await self._struck()
            timers = [name for live in self.server.engine.live.values() for name in live.timers] if self.server else []
            retries = any(name.startswith("retry") for name in timers)
            if self._process is not None:
                if retries and not self.struck and self._misfortune.at is not None and self._misfortune.strike is None:
                    # A call has failed, so the app may just have been killed: on a busy machine that is known later.
                    self._process.join(0.5)
                if not self._process.is_alive():
                    self.struck = True
                    await self._start(None)
            if self.server is None:
                return
            step = min(left, timedelta(seconds=30 if retries else 300))
            await self.server.advance(step)
            left -= step

    async def end(self) -> Telling:
        """Let everything come to an end; what happened and what is left."""
        await self.engine.settle()
        await self._proxy.deliver_the_rest()
        await self.engine.settle()
        await self._struck(patience=0.3)
        if self._process is not None:
            # The last point is passed after the engine has its answer: the process may be dying still.
            self._process.join(0.3 if self._misfortune.at is not None and self._misfortune.strike is None else 0)
            self.struck = self.struck or not self._process.is_alive() or self._proxy.happened
        runs = self.server.runs() if self.server is not None else []
        return Telling(
            self._log.read_text().splitlines(),
            self._proxy.calls,
            {f"{run.function.local_id}: {step.name}" for run in runs for step in run.steps.values()},
            await patiently(left_behind) | {"mail": self._mail()},
            self.struck,
        )

    def _mail(self) -> list[dict[str, str]]:
        """What the mail server took, the same message twice as one."""
        taken = self.mail.accepted if self.mail is not None else []
        by_id = {message["Message-ID"]: message for message in taken}
        return [{"to": message["To"], "text": message.get_content()} for message in by_id.values()]

    async def _start(self, at: int | None) -> None:
        misfortune = self._misfortune
        how = signal.SIGSTOP if misfortune.strike else signal.SIGKILL
        self._process = forked.start(
            killable_app.serve, self._port, self._environment, self._log, at, how, misfortune.query_seconds
        )
        if at is not None and misfortune.strike is not None:
            self._striking = asyncio.create_task(self._strike(misfortune.strike))
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        async with httpx.AsyncClient(base_url=self._proxy.origin, timeout=PATIENCE_SECONDS) as http:
            while not (await http.put("/api/inngest")).is_success:
                assert self._process.is_alive(), f"the app ended as it started, with {self._process.exitcode}"
                assert asyncio.get_running_loop().time() < deadline, "waited for the app to register"
                await asyncio.sleep(0.01)

    async def _strike(self, strike: Strike) -> None:
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        while process.status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.003)
        self.struck = True
        await strike(self)

    def go_on(self) -> None:
        """Wake the app from the point at which it stands still."""
        assert self._process is not None
        os.kill(self._process.pid or 0, signal.SIGCONT)

    async def _struck(self, patience: float = 0.0) -> None:
        """Wait for the end of what has begun to happen; for its beginning `patience` seconds."""
        if self._striking is None:
            return
        deadline = asyncio.get_running_loop().time() + patience
        while not self.struck and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.003)
        if self.struck:
            await self._striking
            await self.engine.settle()


async def patiently(question: Question) -> Any:
    """The answer, also from a database that is just away."""
    for _ in range(400):
        try:
            return await question()
        except db.DROPPED:
            await asyncio.sleep(0.05)
    return await question()


async def left_behind() -> dict[str, Any]:
    """Audit trail, ledger and its history, without what differs from run to run and without refused decisions."""
    numbered = (
        "with runs as (select run_id, 'run ' || row_number() over (order by min(id)) as name from refunds group by 1),"
        " numbers as (select id, row_number() over (order by id) as number from refunds)"
    )
    return {
        "trail": await db.fetch(
            "select action, customer_id, split_part(key, ':', 2) as step, detail::jsonb ->> 'reply' as reply,"
            " detail::jsonb ->> 'why' as why, detail::jsonb ->> 'amount_cents' as cents,"
            " detail::jsonb ->> 'delivery' as delivery,"
            " detail::jsonb ? 'error' as failed from audit_log order by 2, 1, 3, 4, 5"
        ),
        "ledger": await db.fetch(
            "select customer_id, order_id, amount_cents, status, decision, approved_cents, decided_by,"
            " regexp_replace(outcome, '^ledger:.*', 'ledger') as outcome,"
            " payment_started_at is null as unpaid from refunds order by id"
        ),
        "history": await db.fetch(
            f"{numbered} select number, event, coalesce(runs.name, actor) as actor,"  # noqa: S608
            " regexp_replace(why, '^ledger:.*', 'ledger') as why from refund_history"
            " join numbers on refund_id = numbers.id left join runs on actor = 'run ' || run_id"
            " where event <> 'decision refused' order by number, refund_history.id"
        ),
    }
