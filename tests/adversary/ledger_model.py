"""The refund ledger as it should be, in plain Python, and what can be done to it: to the model, and to the real one."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from refunds import ledger, payments, providers
from tests.ledger import rewrite, shown

mood: ContextVar[str] = ContextVar("mood", default="pays")


@dataclass(frozen=True)
class Row:
    """One refund."""

    run: str
    call: str
    order: str
    cents: int
    status: str = "pending"
    decision: str | None = None
    approved: int | None = None
    key: str | None = None
    also: tuple[tuple[str, str], ...] = ()
    begun: bool = False
    late: bool = False
    old: bool = False

    @property
    def settled(self) -> bool:
        return self.status in {"issued", "blocked"}

    @property
    def name(self) -> tuple[str, str]:
        return self.run, self.call

    def beside(self, other: "Row") -> bool:
        """Whether the other is of the same order and was approved."""
        return self.name != other.name and self.order == other.order and other.status in {"approved", "issued"}

    @property
    def life(self) -> list[str]:
        """Its history."""
        steps = ["pending", self.decision, "payment begun" if self.begun else None]
        return [step for step in [*steps, self.status if self.settled else None] if step]


@dataclass
class Ledger:
    """All refunds of one customer, and what the provider paid or declined, by row."""

    rows: list[Row] = field(default_factory=list)
    paid: set[int] = field(default_factory=set)
    declined: set[int] = field(default_factory=set)

    def copy(self) -> "Ledger":
        return Ledger(list(self.rows), set(self.paid), set(self.declined))

    def each(self, chosen: Callable[[Row], bool], **changes: object) -> None:
        self.rows = [replace(row, **changes) if chosen(row) else row for row in self.rows]  # type: ignore[arg-type]

    def find(self, run: str, call: str) -> int | None:
        return next((n for n, row in enumerate(self.rows) if (row.run, row.call) == (run, call)), None)


class Provider:
    """Pays, or not, as the mood of the caller's context wants; a key has one answer for ever."""

    def __init__(self) -> None:
        self.paid: dict[str, int] = {}
        self.declined: set[str] = set()

    async def __call__(self, *, key: str, amount_cents: int, **_: object) -> str:
        await asyncio.sleep(0)
        wanted = mood.get()
        if key in self.declined or (wanted == "declines" and key not in self.paid):
            self.declined.add(key)
            raise providers.DeclinedError("no")
        if key not in self.paid and wanted == "fails before":
            raise TimeoutError
        assert self.paid.setdefault(key, amount_cents) == amount_cents
        if wanted == "fails after":
            raise TimeoutError
        return "paid"


class Operation(Protocol):
    """Something done to the ledger."""

    def aimed(self, ledger: Ledger) -> "Operation":
        """The same at a row where it matters, if there is one."""

    def model(self, ledger: Ledger) -> None:
        """Do it to the model."""

    async def do(self) -> None:
        """Do it to the database."""


def unsettled_run(ledger: Ledger, nth: int) -> str:
    """A run with something left to do."""
    runs = [row.run for row in ledger.rows if not row.settled] or ["nobody"]
    return runs[nth % len(runs)]


class Anywhere:
    """An operation that needs no aim."""

    def aimed(self, _: Ledger) -> Self:
        return self


@dataclass(frozen=True)
class Open(Anywhere):
    run: str
    call: str
    order: str
    cents: int

    @property
    def name(self) -> tuple[str, str]:
        return self.run, self.call

    def model(self, ledger: Ledger) -> None:
        if ledger.find(self.run, self.call) is None:
            ledger.rows.append(Row(self.run, self.call, self.order, self.cents))

    async def do(self) -> None:
        asked = {"call_id": self.call, "order_id": self.order, "amount_cents": self.cents, "reason": "r"}
        await ledger.open_requests(self.run, self.run, "cust_002", [asked])


@dataclass(frozen=True)
class Decide:
    """`cents` None is the amount asked for; `honest`: with what is shown; `nth`: of the pending rows.

    `also`: although a similar one was approved.
    """

    nth: int
    approved: bool
    cents: int | None
    honest: bool
    key: str
    row: tuple[str, str] = ("nobody", "nothing")
    also: bool = False

    def aimed(self, ledger: Ledger) -> "Decide":
        rows = [row for row in ledger.rows if row.status == "pending"] or ledger.rows
        return replace(self, row=(rows[self.nth % len(rows)].run, rows[self.nth % len(rows)].call)) if rows else self

    def model(self, ledger: Ledger) -> None:
        place = ledger.find(*self.row)
        if place is None:
            return
        row = ledger.rows[place]
        used = any(other.key == self.key for other in ledger.rows)
        possible = self.cents is None or 0 < self.cents <= row.cents
        again = tuple(other.name for other in ledger.rows if row.beside(other)) if self.approved else ()
        named = self.also or not again
        if row.status == "pending" and not row.late and self.honest and possible and not used and named:
            decision = "approved" if self.approved else "rejected"
            ledger.rows[place] = replace(
                row,
                status=decision,
                decision=decision,
                key=self.key,
                also=again,
                approved=(self.cents or row.cents) if self.approved else None,
            )

    async def do(self) -> None:
        rows = await rewrite("select id from refunds where run_id = $1 and call_id = $2", *self.row)
        refusal: str | None = "it is not what was shown"
        while rows and refusal is not None and refusal.startswith("it is not what was shown"):
            refusal = await ledger.decide(
                rows[0]["id"],
                await shown(rows[0]["id"]) if self.honest else "0",
                ledger.Decision(self.approved, "grace", self.key, amount_cents=self.cents, also_paid=self.also),
            )
            # Who is honest looks again when another refund was paid meanwhile.
            rows = rows if self.honest else []


@dataclass(frozen=True)
class Expire:
    nth: int
    overdue_only: bool
    run: str = "nobody"

    def aimed(self, ledger: Ledger) -> "Expire":
        return replace(self, run=unsettled_run(ledger, self.nth))

    def model(self, ledger: Ledger) -> None:
        ledger.each(
            lambda row: row.run == self.run and row.status == "pending" and (row.late or not self.overdue_only),
            status="expired",
            decision="expired",
        )

    async def do(self) -> None:
        await ledger.expire(self.run, overdue_only=self.overdue_only)


@dataclass(frozen=True)
class Issue:
    """`nth`: of the approved rows; `honest`: the agent says what was asked, which the ledger must not believe."""

    nth: int
    honest: bool
    mood: str
    run: str = "nobody"
    call: str = "nothing"
    order: str = "A-1"
    cents: int = 4900

    def aimed(self, ledger: Ledger) -> "Issue":
        rows = [row for row in ledger.rows if row.status == "approved"] or ledger.rows
        if not rows:
            return self
        row = rows[self.nth % len(rows)]
        return replace(self, run=row.run, call=row.call, order=row.order, cents=row.cents + (not self.honest))

    def model(self, ledger: Ledger) -> None:
        place = ledger.find(self.run, self.call)
        if place is None or ledger.rows[place].status != "approved":
            return
        row = ledger.rows[place]
        if (row.order, row.cents) != (self.order, self.cents):
            if not row.begun:
                ledger.rows[place] = replace(row, status="blocked")
            return
        if not row.begun:
            others = [other for other in ledger.rows if row.beside(other) and other.begun]
            if any(other.name not in row.also and row.name not in other.also for other in others):
                ledger.rows[place] = replace(row, status="blocked")
                return
            row = ledger.rows[place] = replace(row, begun=True)
        pay(ledger, place, self.mood)

    async def do(self) -> None:
        mood.set(self.mood)
        try:
            await payments.issue(self.run, self.call, "cust_002", self.order, self.cents, "r")
        except TimeoutError:
            assert self.mood.startswith("fails")


def pay(ledger: Ledger, place: int, wanted: str) -> None:
    """What the provider's answer does to a row whose payment has begun."""
    if place in ledger.declined or (wanted == "declines" and place not in ledger.paid):
        ledger.declined.add(place)
        ledger.rows[place] = replace(ledger.rows[place], status="blocked")
    elif place in ledger.paid or wanted != "fails before":
        ledger.paid.add(place)
        if wanted != "fails after":
            ledger.rows[place] = replace(ledger.rows[place], status="issued")


@dataclass(frozen=True)
class BlockTheRest:
    nth: int
    pending: bool
    call: str | None
    run: str = "nobody"

    def aimed(self, ledger: Ledger) -> "BlockTheRest":
        return replace(self, run=unsettled_run(ledger, self.nth))

    def model(self, ledger: Ledger) -> None:
        ledger.each(
            lambda row: (
                row.run == self.run
                and not row.settled
                and not row.begun
                and (row.decision is not None or self.pending)
                and self.call in {None, row.call}
            ),
            status="blocked",
        )

    async def do(self) -> None:
        calls = None if self.call is None else [self.call]
        await ledger.block_the_rest(self.run, "why", pending=self.pending, calls=calls)


@dataclass(frozen=True)
class TimePasses(Anywhere):
    """Pending refunds become overdue, begun payments old."""

    def model(self, ledger: Ledger) -> None:
        ledger.each(lambda row: row.status == "pending", late=True)
        ledger.each(lambda row: row.begun, old=True)

    async def do(self) -> None:
        await rewrite("update refunds set expires_at = now() where status = 'pending' returning id")
        await rewrite(
            "update refunds set payment_started_at = now() - interval '11 minutes'"
            " where payment_started_at is not null returning id"
        )


@dataclass(frozen=True)
class FinishPayments(Anywhere):
    mood: str

    def model(self, ledger: Ledger) -> None:
        for place, row in enumerate(ledger.rows):
            if row.status == "approved" and row.old:
                pay(ledger, place, self.mood)

    async def do(self) -> None:
        mood.set(self.mood)
        try:
            await payments.finish_payments()
        except TimeoutError:
            assert self.mood.startswith("fails")
