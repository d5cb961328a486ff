"""What the database itself refuses, whoever asks: the life of a refund, tried out in raw SQL as somebody with a grudge.

Nothing is listed that can be generated: every pair of states, every column in every state. Runs without any account.
"""

# ruff: noqa: S608 (statements are what is tried out here)

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

import db
from refunds import ledger, payments
from tests.ledger import decide, shown

pytestmark = pytest.mark.usefixtures("database")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.GeneratedAlwaysError)

# "paying" is an approved refund whose payment was begun.
DECIDE = "decided_by = coalesce(decided_by, 'ada'), decided_at = coalesce(decided_at, now())"
UNDECIDED = "decision = null, approved_cents = null, decided_by = null, decided_at = null"
OPEN = "settled_at = null, outcome = null"
BECOME = {
    "pending": f"status = 'pending', {UNDECIDED}, payment_started_at = null, {OPEN}",
    "approved": f"status = 'approved', decision = 'approved', approved_cents = 4900, {DECIDE},"
    f" payment_started_at = null, {OPEN}",
    "paying": f"status = 'approved', decision = 'approved', approved_cents = 4900, {DECIDE},"
    f" payment_started_at = coalesce(payment_started_at, now()), {OPEN}",
    "rejected": f"status = 'rejected', decision = 'rejected', approved_cents = null, {DECIDE}, {OPEN}",
    "expired": f"status = 'expired', decision = 'expired', approved_cents = null, {DECIDE}, {OPEN}",
    "issued": f"status = 'issued', decision = 'approved', approved_cents = 4900, {DECIDE},"
    " payment_started_at = coalesce(payment_started_at, now()), settled_at = now(), outcome = 'paid'",
    "blocked": "status = 'blocked', settled_at = now(), outcome = 'no money'",
}
# Other ways to try the same, for whom the first one does too much or too little.
ALSO = {
    "approved": ["status = 'approved'"],
    "paying": ["payment_started_at = now()"],
    "issued": ["status = 'issued', settled_at = now(), outcome = 'paid'"],
    "blocked": [f"status = 'blocked', {UNDECIDED}, payment_started_at = null, settled_at = now(), outcome = 'x'"],
}
WAY_TO = {
    "pending": [],
    "approved": ["approved"],
    "paying": ["approved", "paying"],
    "rejected": ["rejected"],
    "expired": ["expired"],
    "issued": ["approved", "paying", "issued"],
    "blocked": ["blocked"],
}
LEGAL = {
    ("pending", "approved"),
    ("pending", "rejected"),
    ("pending", "expired"),
    ("pending", "blocked"),
    ("approved", "paying"),
    ("approved", "blocked"),
    ("rejected", "blocked"),
    ("expired", "blocked"),
    ("paying", "issued"),
    ("paying", "blocked"),
}
STATES = list(BECOME)


@pytest.fixture
async def connection(database: None) -> AsyncIterator[Connection]:
    """One transaction that is never committed."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def insert(connection: Connection, *, hours: int = 4, **columns: Any) -> int:
    """A pending refund of $49.00, unless told otherwise; its id."""
    number = await connection.fetchval("select count(*) from refunds")
    row = {
        "request_id": "event-1",
        "run_id": "run-1",
        "call_id": f"call-{number}",
        "customer_id": "cust_001",
        "order_id": f"A-{number}",
        "amount_cents": 4900,
        "reason": "Duplicate charge",
        "digest": "d",
    } | columns
    values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    insertion = (
        f"insert into refunds ({', '.join(row)}, expires_at) values ({values}, now() + interval '{hours} hours')"
    )
    return int(await connection.fetchval(f"{insertion} returning id", *row.values()))


async def a_refund(connection: Connection, state: str, **columns: Any) -> int:
    """A refund in this state, which it reached by legal steps."""
    refund_id = await insert(connection, **columns)
    for step in WAY_TO[state]:
        assert await attempt(connection, refund_id, BECOME[step])
    return refund_id


async def attempt(connection: Connection, refund_id: int, change: str) -> bool:
    """Whether something changed. A refused change, and one that changes nothing, leaves everything as it was."""
    before = await connection.fetchrow("select * from refunds where id = $1", refund_id)
    history = await remembered(connection, refund_id)
    try:
        async with connection.transaction():
            await connection.execute(f"update refunds set {change} where id = $1", refund_id)
    except REFUSED:
        assert await connection.fetchrow("select * from refunds where id = $1", refund_id) == before
    if await connection.fetchrow("select * from refunds where id = $1", refund_id) == before:
        assert await remembered(connection, refund_id) == history
        return False
    [new] = (await remembered(connection, refund_id))[len(history) :]
    assert all(new), new
    return True


async def remembered(connection: Connection, refund_id: int) -> list[tuple[str, str, str]]:
    """Event, actor and reason of everything that happened to a refund."""
    rows = await connection.fetch(
        "select event, actor, why from refund_history where refund_id = $1 order by id", refund_id
    )
    return [(row["event"], row["actor"], row["why"]) for row in rows]


@pytest.mark.parametrize("state", STATES)
async def test_exactly_the_legal_steps_are_possible_and_each_leaves_one_row_of_history(
    state: str, connection: Connection
) -> None:
    reached = set()
    for target in STATES:
        for change in [BECOME[target], *ALSO.get(target, [])] if target != state else []:
            if await attempt(connection, await a_refund(connection, state), change):
                reached.add((state, target))
    assert reached == {step for step in LEGAL if step[0] == state}


@pytest.mark.parametrize("state", STATES)
async def test_no_column_can_be_changed_by_itself_but_for_the_beginning_of_a_payment(
    state: str, connection: Connection
) -> None:
    columns = await connection.fetch(
        "select column_name as name, data_type as type from information_schema.columns where table_name = 'refunds'"
    )
    values = {
        "text": ["'x'", "'approved'", "'issued'", "'blocked'", "'rejected'", "'cust_002'", "null"],
        "bigint": ["1", "4899", "null"],
        "ARRAY": ["'{1}'", "null"],
        "timestamp with time zone": ["now() + interval '1 hour'", "null"],
    }
    refund_id = await a_refund(connection, state)
    row = await connection.fetchrow("select * from refunds where id = $1", refund_id)
    possible, tried = set(), 0
    for column in columns:
        for value in values[column["type"]]:
            same = f"select {column['name']} is not distinct from {value} from refunds where id = $1"
            if column["name"] == "id" and value != "null":
                with pytest.raises(REFUSED):
                    async with connection.transaction():
                        await connection.execute(f"update refunds set id = {value}")
            elif not await connection.fetchval(same, refund_id):
                tried += 1
                if await attempt(connection, refund_id, f"{column['name']} = {value}"):
                    possible.add(column["name"])
    assert possible == ({"payment_started_at"} if state == "approved" else set())
    assert row is not None
    assert tried > len(row)


@pytest.mark.parametrize("state", STATES)
async def test_a_change_that_changes_nothing_passes_and_is_no_history(state: str, connection: Connection) -> None:
    refund_id = await a_refund(connection, state)
    history = await remembered(connection, refund_id)
    if state in {"issued", "blocked"}:
        with pytest.raises(asyncpg.CheckViolationError, match="final"):
            async with connection.transaction():
                await connection.execute("update refunds set status = status where id = $1", refund_id)
    else:
        await connection.execute("update refunds set status = status where id = $1", refund_id)
    assert await remembered(connection, refund_id) == history


@pytest.mark.parametrize("state", STATES)
async def test_nothing_is_deleted_in_any_state(state: str, connection: Connection) -> None:
    refund_id = await a_refund(connection, state)
    for statement in (
        f"delete from refunds where id = {refund_id}",
        "delete from refunds",
        "truncate refunds",
        "truncate refunds, refund_history",
        "truncate customers cascade",
        "delete from refund_history",
        "truncate refund_history",
        "update refund_history set actor = 'mallory'",
        "update refund_history set why = why",
        "delete from customers where id = 'cust_001'",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with connection.transaction():
                await connection.execute(statement)
    assert await connection.fetchval("select count(*) from refunds") == 1
    assert len(await remembered(connection, refund_id)) == 1 + len(WAY_TO[state])


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "approved"},
        {"status": "rejected"},
        {"status": "issued"},
        {"status": "blocked"},
        {"status": "paid"},
        {"status": None},
        {"decision": "approved"},
        {"decided_by": "ada"},
        {"approved_cents": 4900},
        {"outcome": "paid"},
        {"amount_cents": 0},
        {"amount_cents": -4900},
        {"amount_cents": None},
        {"customer_id": "cust_999"},
        {"customer_id": None},
        {"order_id": None},
        {"digest": None},
        {"reason": None},
    ],
)
async def test_a_refund_begins_as_pending_and_whole(columns: dict[str, Any], connection: Connection) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await insert(connection, **columns)


@pytest.mark.parametrize(
    "begun",
    [
        "status = 'approved', decision = 'approved', decided_by = 'x', decided_at = now(), approved_cents = 1",
        "status = 'issued', decision = 'approved', decided_by = 'x', decided_at = now(), approved_cents = 1,"
        " payment_started_at = now(), settled_at = now(), outcome = 'paid'",
        "status = 'rejected', decision = 'rejected', decided_by = 'x', decided_at = now()",
        "status = 'blocked', settled_at = now(), outcome = 'x'",
        "payment_started_at = now()",
        "settled_at = now()",
        "settled_at = now(), outcome = 'x'",
        "decided_at = now()",
    ],
)
async def test_no_consistent_row_can_be_smuggled_in(begun: str, connection: Connection) -> None:
    """A copy of an honest pending row, with the life of another written over it."""
    await insert(connection)
    changes = dict(change.split(" = ") for change in begun.split(", "))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await connection.execute(
            "insert into refunds (request_id, run_id, call_id, customer_id, order_id, amount_cents, reason, digest,"
            f" expires_at, {', '.join(changes)}) select request_id, run_id, 'other', customer_id, order_id,"
            f" amount_cents, reason, digest, expires_at, {', '.join(changes.values())} from refunds"
        )


@pytest.mark.parametrize(("state", "possible"), [("approved", False), ("rejected", False), ("expired", True)])
async def test_after_its_time_a_refund_can_only_expire(state: str, possible: bool, connection: Connection) -> None:
    refund_id = await insert(connection, hours=0)
    assert await attempt(connection, refund_id, BECOME[state]) is possible


@pytest.mark.parametrize("cents", [4901, 0, -1])
async def test_an_approved_amount_is_at_most_what_was_asked_for(cents: int, connection: Connection) -> None:
    change = BECOME["approved"].replace("4900", str(cents))
    assert not await attempt(connection, await insert(connection), change)


async def test_a_lower_amount_is_approved_and_cannot_be_raised_when_it_is_paid(connection: Connection) -> None:
    refund_id = await insert(connection)
    assert await attempt(connection, refund_id, BECOME["approved"].replace("4900", "100"))
    assert not await attempt(connection, refund_id, "payment_started_at = now(), approved_cents = 4900")
    assert await attempt(connection, refund_id, "payment_started_at = now()")
    assert not await attempt(connection, refund_id, BECOME["issued"])
    assert await attempt(connection, refund_id, ALSO["issued"][0])


FACTS = {
    "id": "default",
    "request_id": "'x'",
    "run_id": "'x'",
    "call_id": "'x'",
    "customer_id": "'cust_002'",
    "order_id": "'x'",
    "amount_cents": "5000",
    "reason": "'x'",
    "digest": "'x'",
    "requested_at": "now() - interval '1 h'",
    "expires_at": "now() + interval '9 h'",
}


@pytest.mark.parametrize(("state", "step"), sorted(LEGAL))
async def test_what_was_asked_for_cannot_be_changed_along_with_a_legal_step(
    state: str, step: str, connection: Connection
) -> None:
    refund_id = await a_refund(connection, state)
    for column, value in FACTS.items():
        assert not await attempt(connection, refund_id, f"{BECOME[step]}, {column} = {value}"), column
    assert await attempt(connection, refund_id, BECOME[step])


async def test_one_decision_cannot_stand_in_two_rows(connection: Connection) -> None:
    for possible in (True, False):
        change = f"{BECOME['approved']}, decision_key = 'event-9'"
        assert await attempt(connection, await insert(connection), change) is possible


@pytest.mark.parametrize(
    "how",
    [
        "decided_by = 'mallory'",
        "approved_cents = 1",
        "decided_at = now() + interval '1 h'",
        "decision_note = 'I checked'",
        "decision_key = 'event-9'",
        "also_paid = '{7}'",
    ],
)
@pytest.mark.parametrize("step", ["paying", "issued", "blocked"])
async def test_a_decision_cannot_be_rewritten_along_with_a_legal_step(
    step: str, how: str, connection: Connection
) -> None:
    refund_id = await a_refund(connection, "paying" if step == "issued" else "approved")
    legal = {"paying": "payment_started_at = now()"}.get(step, ALSO[step][0] if step == "issued" else BECOME["blocked"])
    assert not await attempt(connection, refund_id, f"{legal}, {how}")
    assert await attempt(connection, refund_id, legal)


async def test_a_refund_that_nobody_decided_is_not_blocked_with_a_decision(connection: Connection) -> None:
    for decision in ("approved", "rejected", "expired"):
        change = f"{BECOME['blocked']}, decision = '{decision}', {DECIDE}"
        cents = ", approved_cents = 1" if decision == "approved" else ""
        assert not await attempt(connection, await insert(connection), change + cents)


async def everybody_waits(count: int) -> None:
    """Until this many connections wait for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    while (await db.fetch(query))[0]["count"] < count:
        await asyncio.sleep(0.01)


# The history, as the app writes it

WANTED = {"call_id": "call-1", "order_id": "A-1001", "amount_cents": 4900, "reason": "Duplicate charge"}


async def asked(*more: dict[str, Any], run_id: str = "run-1") -> list[int]:
    await ledger.open_requests(run_id, "event-1", "cust_001", [WANTED, *more])
    return [row["id"] for row in await ledger.of_run(run_id)]


async def history(refund_id: int | None = None) -> list[tuple[str, str, str]]:
    rows = await db.fetch(
        "select event, actor, why from refund_history where refund_id is not distinct from $1 order by id", refund_id
    )
    return [(row["event"], row["actor"], row["why"]) for row in rows]


ASKED = ("pending", "run run-1", "Duplicate charge")


async def test_the_way_to_the_money_is_remembered_step_by_step() -> None:
    [refund_id] = await asked()
    await decide(refund_id, approved=True, by="ada", note="I checked", amount_cents=1500)
    await payments.issue("run-1", "call-1", "cust_001", "A-1001", 4900, "Duplicate charge")
    [row] = await ledger.of_run("run-1")
    assert await history(refund_id) == [
        ASKED,
        ("approved", "ada", "1500 of 4900 cents: I checked"),
        ("payment begun", "run run-1", "approved by ada"),
        ("issued", "run run-1", row["outcome"]),
    ]


async def test_the_ways_to_no_money_are_remembered() -> None:
    ids = await asked(*({**WANTED, "call_id": f"call-{n}", "order_id": f"A-{n}"} for n in (2, 3, 4)))
    await decide(ids[0], approved=False, by="ada", note="one charge only")
    await decide(ids[1], approved=False, by="ada")
    await decide(ids[2], approved=True, by="ada")
    await ledger.expire("run-1", overdue_only=False)
    await ledger.block_the_rest("run-1", "not carried out")
    assert [(await history(refund_id))[1:] for refund_id in ids] == [
        [("rejected", "ada", "one charge only"), ("blocked", "run run-1", "one charge only")],
        [("rejected", "ada", "no reason given"), ("blocked", "run run-1", "rejected")],
        [("approved", "ada", "4900 of 4900 cents: no reason given"), ("blocked", "run run-1", "not carried out")],
        [("expired", "nobody", "nobody decided in time"), ("blocked", "run run-1", "nobody decided in time")],
    ]


async def test_repeating_any_step_adds_nothing_to_the_history() -> None:
    [refund_id] = await asked()
    await asked()
    for _ in range(3):
        await decide(refund_id, approved=True, by="ada", key="decision-1")
        await ledger.expire("run-1", overdue_only=False)
    for _ in range(3):
        await payments.issue("run-1", "call-1", "cust_001", "A-1001", 4900, "Duplicate charge")
        await ledger.block_the_rest("run-1", "not carried out")
    assert [event for event, _, _ in await history(refund_id)] == ["pending", "approved", "payment begun", "issued"]


# Decisions that are refused, and recorded


@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_on_something_else_than_was_shown_is_refused_and_recorded(approved: bool) -> None:
    [refund_id] = await asked()
    for seen in (
        ledger.digest("cust_001", "A-1001", 4800, "Duplicate charge"),
        ledger.digest("cust_001", "A-1002", 4900, "Duplicate charge"),
        ledger.digest("cust_002", "A-1001", 4900, "Duplicate charge"),
        ledger.digest("cust_001", "A-1001", 4900, "because"),
        "",
    ):
        refusal = await ledger.decide(refund_id, seen, ledger.Decision(approved, "eve", key=f"key-{seen}"))
        assert refusal == "it is not what was shown: the form was for another refund, or another one was paid meanwhile"
    assert await history(refund_id) == [ASKED] + [("decision refused", "eve", refusal)] * 5
    assert [row["status"] for row in await ledger.of_run("run-1")] == ["pending"]


async def test_each_refused_decision_leaves_one_row_and_changes_nothing() -> None:
    first, second = await asked({**WANTED, "call_id": "call-2", "order_id": "A-2"})
    assert await decide(first, approved=True, by="ada", key="decision-1") is None
    assert await decide(second, approved=True, by="eve", amount_cents=4901) is not None
    assert await decide(second, approved=True, by="eve", key="decision-1") is not None
    assert await decide(first, approved=False, by="eve") is not None
    assert await decide(first, approved=False, by="eve", key="decision-1") is not None
    assert await decide(999, approved=True, by="eve") is not None
    refused = "decision refused", "eve"
    assert (await history(first))[2:] == [(*refused, "it was already approved by ada")] * 2
    assert (await history(second))[1:] == [
        (*refused, "the amount must be above 0 and at most 4900 cents"),
        (*refused, "this decision was already used for another refund"),
    ]
    assert await history(None) == [(*refused, "there is no such refund")]
    assert [row["status"] for row in await ledger.of_run("run-1")] == ["approved", "pending"]


async def test_decisions_after_the_end_are_told_how_it_ended() -> None:
    ids = await asked({**WANTED, "call_id": "call-2", "order_id": "A-2"})
    await decide(ids[0], approved=True, by="ada")
    await payments.issue("run-1", "call-1", "cust_001", "A-1001", 4900, "Duplicate charge")
    await ledger.block_the_rest("run-1", "the run ended", pending=True)
    assert await decide(ids[0], approved=True, by="eve") == "it was already approved by ada"
    assert await decide(ids[1], approved=True, by="eve") == "it is blocked: the run ended"
    await ledger.open_requests("run-2", "event-2", "cust_001", [WANTED])
    [late] = await ledger.of_run("run-2")
    await ledger.expire("run-2", overdue_only=False)
    assert await decide(late["id"], approved=True, by="eve") == "it was already expired by nobody"


async def test_a_refused_decision_is_recorded_whatever_its_author_is_called() -> None:
    [refund_id] = await asked()
    await decide(refund_id, approved=True, by="ada")
    for name in ("o'Brien\0", "\ud800", "x" * 10_000, ""):
        assert await decide(refund_id, approved=True, by=name) == "it was already approved by ada"
    assert len(await history(refund_id)) == 2 + 4


@pytest.mark.parametrize("answers", [(True, False), (True, True), (False, False)])
async def test_the_second_of_two_approvers_in_the_same_instant_is_told_by_whom_it_was_decided(
    answers: tuple[bool, bool],
) -> None:
    """Two threads with an event loop and a pool each; both have begun before either can go on."""
    [refund_id] = await asked()
    seen = await shown(refund_id)
    told: dict[str, str | None] = {}

    def in_a_thread(name: str, approved: bool) -> None:
        async def once() -> None:
            told[name] = await ledger.decide(refund_id, seen, ledger.Decision(approved, name, key=name))
            await db.close()

        asyncio.run(once())

    holder = await asyncpg.connect(os.environ["DATABASE_URL"])
    async with holder.transaction():
        await holder.execute("select from refunds for update")
        threads = [
            threading.Thread(target=in_a_thread, args=pair) for pair in zip(("ada", "grace"), answers, strict=True)
        ]
        for thread in threads:
            thread.start()
        await everybody_waits(2)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await holder.close()
    [row] = await ledger.of_run("run-1")
    first, second = sorted(told, key=lambda name: told[name] is not None)
    assert told == {first: None, second: f"it was already {row['decision']} by {first}"}
    assert row["decided_by"] == first
    assert (await history(refund_id))[-1] == ("decision refused", second, told[second])
    assert len(await history(refund_id)) == 3
