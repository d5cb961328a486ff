"""The ledger alone: whatever is done to it, in any order and two things at once, it stays what the model says."""

import asyncio
from collections import Counter

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import db
from offline.postgres import EmbeddedPostgres
from refunds import providers
from tests.adversary.ledger_model import (
    BlockTheRest,
    Decide,
    Expire,
    FinishPayments,
    Issue,
    Ledger,
    Open,
    Operation,
    Provider,
    TimePasses,
)
from tests.adversary.profile import PROFILE, SEED
from tests.ledger import forget_everything

runs, ids, orders = (st.sampled_from(names) for names in (["run-1", "run-2"], ["a", "b"], ["A-1", "A-1", "B-2"]))
cents = st.sampled_from([4900, 4900, 4900, 1])
moods = st.sampled_from(["pays", "pays", "pays", "declines", "fails before", "fails after"])
issues = st.builds(Issue, st.integers(0, 3), st.sampled_from([True, True, False]), moods)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Open, runs, ids, orders, cents),
    st.builds(
        Decide,
        st.integers(0, 3),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([None, None, None, 100, 4900, 4901, 0, -1]),
        st.sampled_from([True, True, False]),
        st.sampled_from([f"key-{n}" for n in range(6)]),
        also=st.booleans(),
    ),
    issues,
    issues,
    st.builds(Expire, st.integers(0, 3), st.booleans()),
    st.builds(BlockTheRest, st.integers(0, 3), st.booleans(), st.sampled_from([None, None, "a"])),
    st.builds(TimePasses),
    st.builds(FinishPayments, moods),
)


class LedgerMachine(RuleBasedStateMachine):
    """Does each thing to both, and compares."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.model = Ledger()
        self.provider = Provider()
        providers.PROVIDERS["ledger"] = self.provider
        self.loop.run_until_complete(forget_everything())

    @rule(order=orders, amount=cents, tries=st.lists(issues | st.builds(FinishPayments, moods), max_size=2))
    def refund(self, order: str, amount: int, tries: list[Operation]) -> None:
        """What has to happen often, or little else could: asked, approved, perhaps paid, in a run of its own."""
        number = len(self.model.rows)
        opened = Open(f"run-{number}", "a", order, amount)
        self.one(opened)
        self.one(Decide(0, True, None, True, f"key of {number}", opened.name, also=number % 2 == 0), aim=False)
        for operation in tries:
            self.one(operation)

    @rule(operation=operations)
    def one(self, operation: Operation, aim: bool = True) -> None:
        operation = operation.aimed(self.model) if aim else operation
        operation.model(self.model)
        self.loop.run_until_complete(operation.do())

    @rule(first=operations, second=operations)
    def race(self, first: Operation, second: Operation) -> None:
        """Two at once come to what one after the other would have come to."""
        first, second = first.aimed(self.model), second.aimed(self.model)
        outcomes = []
        for order in ((first, second), (second, first)):
            outcomes.append(self.model.copy())
            for operation in order:
                operation.model(outcomes[-1])

        async def both() -> None:
            await asyncio.gather(first.do(), second.do())

        self.loop.run_until_complete(both())
        seen = self.seen()
        fits = [outcome for outcome in outcomes if self.expected(outcome) == seen]
        assert fits, f"{seen}\nis neither\n{self.expected(outcomes[0])}\nnor\n{self.expected(outcomes[1])}"
        self.model = fits[0]

    def seen(self) -> list[tuple[object, ...]]:
        rows = self.loop.run_until_complete(
            db.fetch(
                "select run_id, call_id, order_id, amount_cents, status, decision, approved_cents,"
                " (select array_agg(event order by h.id) from refund_history h"
                "  where refund_id = r.id and event not in ('decision refused', 'to be paid as well')) as life,"
                " status = 'pending' and expires_at <= now() as late,"
                " coalesce(payment_started_at < now() - interval '10 minutes', false) as old from refunds r"
            )
        )
        return sorted(tuple(row.values()) for row in rows)

    def expected(self, model: Ledger) -> list[tuple[object, ...]]:
        return sorted(
            (
                r.run,
                r.call,
                r.order,
                r.cents,
                r.status,
                r.decision,
                r.approved,
                r.life,
                r.late and r.status == "pending",
                r.old,
            )
            for r in model.rows
        )

    @invariant()
    def it_is_what_the_model_says(self) -> None:
        assert self.seen() == self.expected(self.model)
        assert sorted(self.provider.paid.values()) == sorted(self.model.rows[n].approved or 0 for n in self.model.paid)

    @invariant()
    def no_order_is_paid_twice_unless_a_yes_said_so_and_every_row_has_its_audit_row(self) -> None:
        begun = [row for row in self.model.rows if row.begun and row.status != "blocked"]
        pairs = [(row, other) for row in begun for other in begun if row.beside(other)]
        assert all(other.name in row.also or row.name in other.also for row, other in pairs)
        trail = self.loop.run_until_complete(db.fetch("select action, count(*) from audit_log group by action"))
        ends = Counter(f"refund_{row.status}" for row in self.model.rows if row.settled)
        assert {row["action"]: row["count"] for row in trail} == ends


def test_the_ledger_is_what_a_plain_model_of_it_says(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(providers.PROVIDERS, "ledger", providers.in_ledger_only)
    loop = LedgerMachine.loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(db.migrate())
        seeded = seed(SEED)(LedgerMachine)
        steps = settings(PROFILE, stateful_step_count=20)
        run_state_machine_as_test(seeded, settings=steps)
    finally:
        loop.run_until_complete(db.close())
        loop.close()
