"""The world around the model: an approver who remembers what was approved, a provider that remembers what was paid."""

import asyncio
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import db
from refunds import ledger, payments, providers, replies
from refunds.rules import AMOUNT_MAX_CENTS
from tests.adversary.drawn import CUSTOMERS, PROMISES, Act, Misdeed
from tests.adversary.model import Script
from tests.durable.driver import Engine
from tests.ledger import decide, forget_everything, shown

WRONG = "0" * 64
FACTS = ("customer_id", "order_id", "amount_cents", "reason")


def secrets_of(customer_id: str) -> tuple[str, str]:
    """What belongs to a customer and stands in no script: an address and an order."""
    return f"private-{customer_id}@example.com", f"PRIVATE-{customer_id.upper().replace('_', '-')}"


async def begin() -> None:
    """An empty trail, but for one paid order of each customer that nobody else may hear of (run "before")."""
    await forget_everything()
    for number, customer_id in enumerate(CUSTOMERS, 1):
        address, order_id = secrets_of(customer_id)
        await db.fetch("update customers set email = $2 where id = $1 returning id", customer_id, address)
        refund = {"call_id": customer_id, "order_id": order_id, "amount_cents": 100, "reason": "Overcharge"}
        await ledger.open_requests("before", "before", customer_id, [refund])
        assert await decide(number, approved=True, by="grace") is None
        await payments.issue("before", customer_id, customer_id, order_id, 100, "Overcharge")


def one_spelling(order_id: str) -> str:
    """What a person would call the same order, whatever `refunds.lookalikes` says."""
    return "-".join(re.findall("[A-Z0-9]+", unicodedata.normalize("NFKC", order_id).upper()))


class Provider:
    """Pays once for each key, or declines it for ever, as providers do; its moods come in turn."""

    present: providers.Provider = staticmethod(providers.in_ledger_only)

    def __init__(self, moods: Iterable[str]) -> None:
        self.paid: dict[str, tuple[str, str, int]] = {}
        self._declined: set[str] = set()
        self._moods = itertools.cycle(moods)

    async def __call__(self, *, customer_id: str, order_id: str, amount_cents: int, key: str, **_: object) -> str:
        mood = next(self._moods)
        if key in self._declined or (mood == "declines" and key not in self.paid):
            self._declined.add(key)
            raise providers.DeclinedError("the card is closed")
        if mood == "fails before":
            raise TimeoutError("no answer")
        before = self.paid.setdefault(key, (customer_id, order_id, amount_cents))
        assert before == (customer_id, order_id, amount_cents), "one key, two payments"
        if mood == "fails after":
            raise TimeoutError("no answer")
        return f"paid:{key[:8]}"


class Approver:
    """Decides in the ledger, and remembers: refund id, digest and amount of every yes that was accepted."""

    def __init__(self, engine: Engine) -> None:
        self.yes: dict[int, tuple[str, int]] = {}
        self._engine = engine
        self._keys: Iterator[int] = itertools.count()
        self._used: list[str] = []

    async def do(self, act: Act) -> None:
        """Do one thing about one of the pending refunds."""
        rows = await db.fetch("select * from refunds where status = 'pending' order by id")
        if not rows:
            return
        row, key = rows[act.which % len(rows)], f"key-{next(self._keys)}"
        for misdeed in act.misdeeds:
            await self._try(misdeed, row, key)
        match act.decision:
            case "approve":
                await self._decide(row, True, key)
            case "lower":
                await self._decide(row, True, key, max(1, int(row["amount_cents"] * act.share)))
            case "reject":
                await self._decide(row, False, key)
            case "both":
                await asyncio.gather(self._decide(row, True, key), self._decide(row, False, f"{key} no"))
            case "ten times":
                await asyncio.gather(*(self._decide(row, True, key) for _ in range(10)))
            case "one key for all":
                await asyncio.gather(*(self._decide(other, True, key) for other in rows))
        if act.wake:
            await self._engine.decide(request_id=row["request_id"])

    async def _try(self, misdeed: Misdeed, row: dict[str, Any], key: str) -> None:
        match misdeed:
            case "raise":
                assert await self._decide(row, True, key, row["amount_cents"] + 1) is not None
            case "wrong digest":
                assert await self._decide({**row, "digest": WRONG}, True, key) is not None
            case "old key":
                assert not self._used or await self._decide(row, True, self._used[0]) is not None
            case "forge":
                await self._engine.decide(approved=True, request_id=row["request_id"])
                await self._engine.decide(approved=True, customer_id=row["customer_id"])

    async def _decide(self, row: dict[str, Any], approved: bool, key: str, cents: int | None = None) -> str | None:
        seen = await shown(row["id"]) if row["digest"] != WRONG else WRONG
        refusal = await ledger.decide(row["id"], seen, ledger.Decision(approved, "grace", key, amount_cents=cents))
        if refusal is None:
            self._used.append(key)
            if approved:
                self.yes[row["id"]] = (row["digest"], cents or row["amount_cents"])
        return refusal


async def check_money(approver: Approver, provider: Provider) -> list[dict[str, Any]]:
    """Every cent has its yes, its row and its audit row; no order has two, as no yes named one. Returns the ledger."""
    rows = await db.fetch("select * from refunds where run_id <> 'before' order by id")
    for row in rows:
        facts = ledger.digest(*(row[name] for name in FACTS))
        assert row["digest"] == facts
        assert 0 < row["amount_cents"] <= AMOUNT_MAX_CENTS
        assert (row["approved_cents"] or 0) <= row["amount_cents"]
    begun = [row for row in rows if row["payment_started_at"] is not None]
    for row in begun:
        assert approver.yes[row["id"]] == (row["digest"], row["approved_cents"]), "nobody said yes to this"
        said = await db.fetch("select actor from refund_history where refund_id = $1 and event = 'approved'", row["id"])
        assert [each["actor"] for each in said] == ["grace"]
    taken = Counter((row["customer_id"], one_spelling(row["order_id"])) for row in begun if row["status"] != "blocked")
    assert set(taken.values()) <= {1}, "two payments for one order"
    issued = [(row["customer_id"], row["order_id"], row["approved_cents"]) for row in rows if row["status"] == "issued"]
    open_payments = [(r["customer_id"], r["order_id"], r["approved_cents"]) for r in begun if r["settled_at"] is None]
    paid = Counter(provider.paid.values())
    assert Counter(issued) <= paid, "recorded as paid, and not paid"
    assert paid <= Counter(issued + open_payments), "paid, and not in the ledger"
    for action, status in {"refund_issued": "issued", "refund_blocked": "blocked"}.items():
        trail = await db.fetch(
            "select (detail::jsonb ->> 'refund_id')::int as id from audit_log"
            " where action = $1 and run_id <> 'before' and detail::jsonb ? 'refund_id' order by 1",
            action,
        )
        assert [row["id"] for row in trail] == [row["id"] for row in rows if row["status"] == status]
    return rows


async def check_ends(emails: int) -> None:
    """Every email was answered or given to a person, not both; no refund is left open but a begun payment."""
    rows = await db.fetch(
        "select run_id, array_agg(action::text) as actions from audit_log where run_id <> 'before' group by run_id"
    )
    ends = [sorted({"message_sent", "run_failed"} & set(row["actions"])) for row in rows]
    assert all(len(end) == 1 for end in ends), ends
    assert len(ends) == emails, f"{emails} emails, {len(ends)} ends"
    left_open = await db.fetch("select status from refunds where settled_at is null and payment_started_at is null")
    assert left_open == []


async def check_replies(script: Script) -> None:
    """Nobody's address or order was shown to the model, or sent, for somebody else. No promise stands without facts."""
    sent = await db.fetch(
        "select customer_id, detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'"
    )
    seen = [*script.shown, *((row["customer_id"], row["reply"]) for row in sent)]
    for owner in CUSTOMERS:
        for secret in secrets_of(owner):
            leaks = [text for reader, text in seen if reader != owner and secret in text]
            assert leaks == [], json.dumps(leaks)[:300]
    for row in sent:
        if any(promise in row["reply"] for promise in PROMISES):
            assert f"\n\n{replies.HEADING}\n- " in row["reply"]
