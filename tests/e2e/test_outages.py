"""Every email that was answered 2xx ends in a reply or in front of a person, whatever is away, and for how long.

Four things can be missing: the app, the database, the engine, and the engine's own store. Each is killed, away for a
while, or comes back without its data, while one email waits for its approval, one was just taken, one arrives, and one
was sent straight to the engine. What was refused is delivered again afterwards, as a provider does. The engine is the
stand-in; its clock and the times in the tables are moved together. SEED chooses two of the outages, and with SAMPLES,
as `make torture` sets it, each has its turn.
"""

import itertools
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import fastapi
import httpx
import pytest

import db
import inngest_app
from offline.inngest_server import DevServer
from offline.postgres import EmbeddedPostgres
from people import lost
from tests.durable.driver import OFFICIAL
from tests.e2e.matrix import SEED
from tests.ledger import rewrite
from tests.serving import listening, quiet_hour, synced
from web.webhooks.inbound_email import event_id

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="the official server's clock cannot be moved")
AWAY_MINUTES = {"killed": 0, "away a minute": 1, "away ten minutes": 10, "away an hour": 60, "its data is lost": 120}
OUTAGES = [
    (what, how)
    for what, how in itertools.product(("app", "database", "engine", "store"), AWAY_MINUTES)
    # The app keeps nothing.
    if (what, how) != ("app", "its data is lost")
]
CHOSEN = OUTAGES if "SAMPLES" in os.environ else random.Random(SEED).sample(OUTAGES, 2)
SENDER = "grace@example.com"
QUESTION = "Where is my order?"
REFUND = "I was charged twice for order A-1001. Please return the $49.00 to me."
# What was sent straight to the engine is the engine's alone until its first step.
FORGETS_EVENTS = [("engine", "its data is lost"), ("store", "its data is lost")]


class Door:
    """The way to the app, which a proxy in front of it answers for when the app does not."""

    def __init__(self, app: fastapi.FastAPI) -> None:
        self.app = app
        self.state: Literal["open", "closed", "closed to the engine", "answers are lost"] = "open"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        only_the_engine = self.state == "closed to the engine" and scope["path"] != "/api/inngest"
        if self.state == "open" or only_the_engine:
            await self.app(scope, receive, send)
            return
        if self.state == "answers are lost":
            await self.app(scope, receive, self._forget)
        await fastapi.Response("Bad Gateway", 502)(scope, receive, send)

    async def _forget(self, message: Any) -> None:
        pass


class Shop:
    """The app, its database and its engine, each of which can be taken away, and the emails that were sent to them."""

    def __init__(self, postgres: EmbeddedPostgres, patch: pytest.MonkeyPatch) -> None:
        self.postgres = postgres
        self.door = Door(inngest_app.app)
        self.url = ""
        self.taken: set[str] = set()
        self._refused: list[tuple[str, str]] = []
        self._patch = patch
        self._engines: list[DevServer] = []
        self._database_is_there = True
        self._minutes_to_come = 0.0

    @property
    def engine(self) -> DevServer:
        return self._engines[-1]

    async def new_engine(self) -> None:
        """An engine that knows of nothing, in place of the one before."""
        if self._engines:
            await self.engine.stop()
        self._engines.append(DevServer(port=urlsplit(os.environ["INNGEST_DEV"]).port or 0, poll=False, seed=1))
        # It knows no app yet, so nothing falls due on the way to the quiet hour.
        await self.engine.advance(quiet_hour() - self.engine.now())
        await self.engine.start()

    async def write(self, message_id: str, text: str) -> None:
        """An email comes in by the webhook."""
        email = {"from": SENDER, "text": text, "message_id": message_id}
        async with httpx.AsyncClient(timeout=30) as http:
            status = (await http.post(f"{self.url}/webhooks/email", json=email)).status_code
        if status == 200:
            self.taken.add(event_id(SENDER, message_id))
        else:
            self._refused.append((message_id, text))

    def write_to_the_engine(self, id: str) -> None:  # noqa: A002
        """An email's event is sent to the engine, past the app."""
        data = {"customer_id": "cust_002", "email_text": QUESTION}
        self.engine.send_events([{"id": id, "name": "customer/email.received", "data": data}])
        self.taken.add(id)

    async def deliver_again(self) -> None:
        for message_id, text in self._refused:
            await self.write(message_id, text)

    async def pass_time(self, minutes: float, at_once: float = 5) -> None:
        """Let time pass for everything that is there; the app looks for what was lost now and then."""
        while minutes > 0:
            step = min(minutes, at_once)
            minutes -= step
            self._minutes_to_come += step
            if self._database_is_there:
                await self._grow_older()
            if self.door.state != "closed to the engine":
                await self.engine.settle()
                await self.engine.advance(timedelta(minutes=step))
            if self.door.state in {"open", "closed to the engine"}:
                await lost.look(inngest_app.send)

    async def _grow_older(self) -> None:
        for table, columns in {
            "audit_log": ["created_at"],
            "inbox": ["received_at", "sent_again_at"],
            "refunds": ["requested_at", "expires_at", "decided_at", "payment_started_at", "settled_at"],
        }.items():
            changes = ", ".join(f"{column} = {column} - $1 * interval '1 minute'" for column in columns)
            await rewrite(f"update {table} set {changes} returning 1", self._minutes_to_come)  # noqa: S608
        self._minutes_to_come = 0

    @asynccontextmanager
    async def without(self, what: str, how: str) -> AsyncIterator[None]:
        """Take something away, and bring it back."""
        match what:
            case "app":
                self.door.state = "answers are lost" if how == "killed" else "closed"
                yield
                self.door.state = "open"
            case "database":
                self.postgres.halt(immediate=True)
                self._database_is_there = False
                yield
                self.postgres.restart()
                self._database_is_there = True
                if how == "its data is lost":
                    await rewrite("with a as (delete from audit_log), b as (delete from inbox) delete from refunds")
                    await rewrite("delete from unanswered")
            case _ if how == "its data is lost":
                await self.new_engine()
                if what == "store":
                    await synced(self.url)
                yield
                await synced(self.url)
            case _:
                async with self._no_way_to_the_engine(forgets=what == "store"):
                    yield

    @asynccontextmanager
    async def _no_way_to_the_engine(self, *, forgets: bool) -> AsyncIterator[None]:
        """The engine neither calls nor is called. One whose store is away may take events and forget them."""

        async def send(events: Sequence[Any]) -> list[str]:
            if not forgets:
                raise ConnectionRefusedError
            return ["forgotten" for _ in events]

        with self._patch.context() as patch:
            patch.setattr(inngest_app.client, "send", send)
            self.door.state = "closed to the engine"
            yield
        self.door.state = "open"

    async def ended(self) -> set[str]:
        """The emails that were answered, or stand in front of a person; an engine's memory counts for replies, too."""
        rows = await db.fetch(
            "select detail ->> 'event_id' as event_id from audit_log where action in ('message_sent', 'run_failed')"
        )
        replied = {
            run.event.id
            for engine in self._engines
            for run in engine.state.runs.values()
            if run.function.local_id == "handle-customer-email" and run.status.v2_name == "COMPLETED"
        }
        return {row["event_id"] for row in rows} | replied

    async def answered_twice(self) -> list[dict[str, Any]]:
        return await db.fetch(
            "select detail ->> 'event_id' from audit_log where action = 'message_sent' group by 1 having count(*) > 1"
        )


@pytest.fixture
async def shop(database: None, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    shop = Shop(postgres, monkeypatch)
    async with listening(shop.door) as shop.url:
        await shop.new_engine()
        await synced(shop.url)
        yield shop
        await shop.engine.stop()


@pytest.mark.parametrize(("what", "how"), CHOSEN)
async def test_every_email_that_was_taken_ends_in_a_reply_or_in_front_of_a_person(
    what: str, how: str, shop: Shop
) -> None:
    await shop.write("waits", REFUND)
    await shop.engine.settle()
    await shop.write("taken", QUESTION)
    if (what, how) not in FORGETS_EVENTS:
        # Last, so that its run has not begun yet.
        shop.write_to_the_engine("direct")
    async with shop.without(what, how):
        await shop.write("arrives", QUESTION)
        await shop.pass_time(AWAY_MINUTES[how])
    await shop.deliver_again()
    await shop.pass_time(90)
    await shop.pass_time(330, at_once=30)
    assert len(shop.taken) >= 3
    assert shop.taken - await shop.ended() == set()
    assert await shop.answered_twice() == []
    assert await db.fetch("select from unanswered") == []
    assert await db.fetch("select from inbox where event is not null") == []
