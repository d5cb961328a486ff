"""What is in Postgres. The demo checks its claims against it."""

from collections import Counter
from typing import Any, Self

import asyncpg

import migrations


class Records:
    """The demo's own connection to the app's database."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the database at `url`."""
        return cls(await asyncpg.connect(url, timeout=10, command_timeout=15))

    def close(self) -> None:
        """End the connection at once."""
        self._connection.terminate()

    async def rename_customers(self, suffix: str) -> None:
        """Give every customer a new id, so that an engine's old runs of an earlier demo find no customer."""
        await self._connection.execute("update customers set id = id || $1", f"-{suffix}")

    async def add_customers(self) -> None:
        """Add the course's five customers again, because its gates send emails in their names."""
        await self._connection.executemany(
            "insert into customers (id, email, tier) values ($1, 'gate+' || $2, $3) on conflict do nothing",
            migrations.SEED_CUSTOMERS,
        )

    async def customers(self) -> dict[str, str]:
        """Return the customers' ids by first name, which is the part of the address before the @."""
        rows = await self._connection.fetch("select split_part(email, '@', 1) as name, id from customers order by id")
        return {row["name"]: row["id"] for row in rows}

    async def eligible(self) -> list[str]:
        """Return the ids of the customers whose tier includes the health check, in order."""
        rows = await self._connection.fetch("select id from customers where tier <> 'standard' order by id")
        return [row["id"] for row in rows]

    async def mark(self) -> int:
        """Return the id of the newest audit row. The rows of the next act are newer."""
        return int(await self._connection.fetchval("select coalesce(max(id), 0) from audit_log"))

    async def audit(self, since: int, customer: str | None = None) -> list[dict[str, Any]]:
        """Return the audit rows newer than `since`, of one customer or of all, oldest first.

        An engine may still have runs of an earlier demo, which write rows too. Their customers are gone, so those rows
        are left out.
        """
        rows = await self._connection.fetch(
            "select action, customer_id, run_id, detail->>'reply' as reply, detail->>'event_id' as event_id"
            " from audit_log where id > $1 and ($2::text is null or customer_id = $2)"
            " and customer_id in (select id from customers) order by id",
            since,
            customer,
        )
        return [dict(row) for row in rows]

    async def actions(self, since: int, customer: str | None = None) -> Counter[str]:
        """Return how often each action is in those rows."""
        return Counter(row["action"] for row in await self.audit(since, customer))

    async def refunds(self, customer: str | None = None) -> list[dict[str, Any]]:
        """Return the refunds in the ledger, of one customer or of all, oldest first."""
        rows = await self._connection.fetch(
            "select id, run_id, request_id, customer_id, order_id, amount_cents, approved_cents, status, decision,"
            " decided_by, outcome from refunds where $1::text is null or customer_id = $1 order by id",
            customer,
        )
        return [dict(row) for row in rows]
