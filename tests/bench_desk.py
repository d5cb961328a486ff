"""How long the desk's pages take over long tables: `python -m tests.bench_desk [AUDIT_ROWS]`.

Needs no account; a few gigabytes of disk and some minutes for ten million rows. The pages are asked for over HTTP, one
after the other, from another task of the same process: the times are those of the whole way.
"""

import argparse
import asyncio
import os
import statistics
import time

import asyncpg
import httpx

import db
import settings
from offline.postgres import EmbeddedPostgres
from tests.desk import Engine, application
from tests.serving import listening

WAITING, DECIDED, TIMES, LIMIT_MS = 1_000, 100_000, 30, 100


async def statement(text: str, *arguments: object) -> None:
    """Run what takes longer than the pool allows, or may not stand in a transaction; past the ledger's triggers."""
    connection = await asyncpg.connect(settings.database_url())
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(text, *arguments)
    finally:
        await connection.close()


async def fill(audit_rows: int, refunds: int, waiting: int) -> None:
    """Rows by the set: most of one customer, a tenth of another who never wrote, and an action that is rare and old."""
    # Indexes are built sooner than kept up to date.
    indexes = await db.fetch(
        "select indexname, indexdef from pg_indexes where tablename = 'audit_log' and indexdef like 'CREATE INDEX%'"
    )
    for index in indexes:
        await statement(f"drop index {index['indexname']}")
    await statement(
        "insert into audit_log (action, key, run_id, customer_id, detail) select"
        " case when n <= 3 then 'run_failed' when n % 2 = 0 then 'message_received' else 'message_sent' end,"
        " 'run-' || n / 2 || case when n % 2 = 0 then ':audit-received' else ':audit-sent' end, 'run-' || n / 2,"
        " case when n % 10 = 0 then 'customer-' || n when n % 10 = 5 then 'silent' when n = 1 then 'rare'"
        " else 'cust_001' end,"
        " jsonb_build_object('email_text', repeat('text ', 20)) from generate_series(1, $1::int) n",
        audit_rows,
    )
    for index in indexes:
        await statement(index["indexdef"])
    await statement(
        "insert into refunds (request_id, run_id, call_id, customer_id, order_id, amount_cents, reason, digest, status,"
        " requested_at, expires_at, decision, approved_cents, decided_by, decided_at, payment_started_at, settled_at,"
        " outcome) select 'event-' || n, 'run-' || n, 'call',"
        " 'cust_00' || case when n % 9 = 0 then n % 5 + 1 else 1 end,"
        " 'A-' || n, 4900, 'Duplicate charge', 'digest', case when decided then 'issued' else 'pending' end,"
        " now() - interval '1 hour', now() + n * interval '1 second', case when decided then 'approved' end,"
        " case when decided then 4900 end, case when decided then 'ada' end,"
        " case when decided then now() - n * interval '1 second' end, case when decided then now() end,"
        " case when decided then now() end, case when decided then 'ledger' end"
        " from (select n, n > $2 as decided from generate_series(1, $1::int) n) given",
        refunds,
        waiting,
    )
    await statement(
        "insert into refund_history (refund_id, event, actor, why) select n % $1 + 1, 'pending', 'run', 'why'"
        " from generate_series(1, $1 * 3) n",
        refunds,
    )
    await statement("vacuum analyze")


async def measure(audit_rows: int) -> None:
    """Fill the tables, then ask for every page TIMES times."""
    await db.migrate()
    started = time.perf_counter()
    await fill(audit_rows, WAITING + DECIDED, WAITING)
    print(f"{audit_rows:,} audit rows and {WAITING + DECIDED:,} refunds in {time.perf_counter() - started:.0f} s")
    middle, run = audit_rows // 2, f"run-{audit_rows // 4}"
    pages = {
        "what waits": "",
        "what waits, page 20": f"?after={WAITING // 2}",
        "one request": "/5",
        "decided": "/decided",
        "decided, in the middle": f"/decided?before={WAITING + DECIDED // 2}",
        "audit trail": "/audit",
        "audit trail, in the middle": f"/audit?before={middle}",
        "of one customer": "/audit?customer=cust_001",
        "of one customer, in the middle": f"/audit?customer=cust_001&before={middle}",
        "of nobody": "/audit?customer=nobody",
        "of one run": f"/audit?run={run}",
        "of one action": "/audit?action=message_sent",
        "of a rare action": "/audit?action=run_failed",
        "of an action that never was": "/audit?action=refund_issued",
        "of customer and action": "/audit?customer=cust_001&action=message_sent",
        "of customer and rare action": "/audit?customer=cust_001&action=run_failed",
        "of all three": f"/audit?customer=cust_001&action=message_sent&run={run}",
        "update of an open page": "/waiting?list=&shown=1,2,3",
    }
    print(f"{'page':34}{'fastest':>9}{'median':>9}{'slowest':>9}  ms")
    slow = []
    desk = application(Engine())
    async with listening(desk, "critical") as url, httpx.AsyncClient(base_url=url, trust_env=False) as visitor:
        for name, path in pages.items():
            taken = []
            for _ in range(TIMES):
                started = time.perf_counter()
                answer = await visitor.get(f"/approvals{path}")
                taken.append((time.perf_counter() - started) * 1000)
                answer.raise_for_status()
            slow += [name] if statistics.median(taken) >= LIMIT_MS else []
            print(f"{name:34}{min(taken):9.1f}{statistics.median(taken):9.1f}{max(taken):9.1f}")
    await db.close()
    print(f"Slower than {LIMIT_MS} ms: {', '.join(slow) or 'none'}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the desk's pages.")
    parser.add_argument("audit_rows", nargs="?", type=int, default=10_000_000, help="default: %(default)s")
    options = parser.parse_args()
    os.environ.pop("REVIEWERS", None)
    with EmbeddedPostgres() as postgres:
        os.environ["DATABASE_URL"] = postgres.url
        asyncio.run(measure(options.audit_rows))
