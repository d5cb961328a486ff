"""No query of the desk reads more rows than its page shows, however long the tables are.

Runs without an engine or a browser, on a real Postgres: its planner is asked, and counts the rows it touched.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import db
from refunds import ledger, payments
from tests.bench_desk import fill, statement
from tests.ledger import forget_everything
from web.desk import queries

AUDIT_ROWS, REFUNDS, WAITING = 60_000, 20_000, 3_000
# What a page of 50 may cost: its rows, and a few looked up beside each.
TOUCHED_MAX = 600


@pytest.fixture(scope="module")
async def long_tables(postgres: object) -> AsyncIterator[None]:
    """Many rows of few customers, and a few of many: what makes a planner choose badly."""
    await db.migrate()
    await forget_everything()
    await fill(AUDIT_ROWS, REFUNDS, WAITING)
    yield
    await forget_everything()
    await statement("vacuum analyze")
    await db.close()


def touched(plan: dict[str, Any]) -> float:
    """The rows that a plan's nodes read, the ones they threw away included."""
    removed = sum(value for name, value in plan.items() if name.startswith("Rows Removed"))
    own = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return float(own + sum(touched(inner) for inner in plan.get("Plans", [])))


def scans(plan: dict[str, Any]) -> set[str]:
    """The tables that are read from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"].endswith("Seq Scan") else set()
    return own.union(*(scans(inner) for inner in plan.get("Plans", [])))


QUERIES: dict[str, Callable[[], Awaitable[object]]] = {
    "what waits": queries.waiting,
    "what waits, in the middle": lambda: queries.waiting(WAITING // 2),
    "one": lambda: queries.one(5),
    "one of the customer with thousands": lambda: queries.one(REFUNDS - 1),
    "history": lambda: queries.history(5),
    "version": queries.version,
    "no longer waiting": lambda: queries.no_longer_waiting(list(range(1, 201))),
    "payments without an outcome": lambda: payments.unfinished(20),
    "decided": queries.decided,
    "decided, in the middle": lambda: queries.decided(REFUNDS - 5000),
    "what the cron wakes again": ledger.decided_but_not_applied,
    "entry": lambda: queries.audit_entry(7),
    **{
        f"audit of {customer}, {run}, {action}, before {before}": (
            lambda given=(customer, run, action, before): queries.audit(*given)  # type: ignore[misc]
        )
        for customer in (None, "cust_001", "silent", "customer-500", "rare", "nobody")
        for run in (None, "run-7", "no-run")
        for action in (None, "message_sent", "message_received", "run_failed", "health_check")
        for before in (None, AUDIT_ROWS // 2)
    },
}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_reads_what_its_page_shows_and_no_table_from_end_to_end(
    long_tables: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[dict[str, Any]] = []
    real = db.fetch

    async def explained(query: str, *arguments: object) -> list[dict[str, Any]]:
        [row] = await real(f"explain (analyze, format json) {query}", *arguments)
        plans.append(json.loads(row["QUERY PLAN"])[0]["Plan"])
        return await real(query, *arguments)

    for module in (queries, ledger, payments):
        monkeypatch.setattr(module, "fetch", explained)
    await QUERIES[name]()
    assert len(plans) == 1
    # Five customers are one page of the disk.
    assert scans(plans[0]) <= {"customers"}
    assert touched(plans[0]) <= (TOUCHED_MAX if "waits" not in name else 26 * 40), json.dumps(plans[0], indent=1)


async def test_a_page_is_the_same_number_of_queries_however_much_it_shows(
    long_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    real = db.fetch

    async def counted(query: str, *arguments: object) -> list[dict[str, Any]]:
        statements.append(query)
        return await real(query, *arguments)

    monkeypatch.setattr(queries, "fetch", counted)
    rows, more = await queries.waiting()
    assert (len(rows), more, len(statements)) == (queries.PAGE, True, 1)
