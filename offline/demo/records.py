"""What Postgres says: the truth that the demo's claims are checked against."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import asyncpg

import migrations


class Records:
    """A connection of its own to the app's database."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect."""
        return cls(await asyncpg.connect(url, timeout=10, command_timeout=15))

    def close(self) -> None:
        """Drop the connection."""
        self._connection.terminate()

    async def rename_customers(self, suffix: str) -> None:
        """Give every customer a new id, so that runs of an earlier demo that an engine remembers find nobody."""
        await self._connection.execute("update customers set id = id || $1", f"-{suffix}")

    async def add_customers(self) -> None:
        """Put the course's five customers back, whom its gates write as, beside those of another name."""
        await self._connection.executemany(
            "insert into customers (id, email, tier) values ($1, 'gate+' || $2, $3) on conflict do nothing",
            migrations.SEED_CUSTOMERS,
        )

    async def customers(self) -> dict[str, str]:
        """The customers' ids by first name, which is the part of their address before the @."""
        rows = await self._connection.fetch("select split_part(email, '@', 1) as name, id from customers order by id")
        return {row["name"]: row["id"] for row in rows}

    async def eligible(self) -> list[str]:
        """The ids of the customers whose tier includes the health check."""
        rows = await self._connection.fetch("select id from customers where tier <> 'standard' order by id")
        return [row["id"] for row in rows]

    async def mark(self) -> int:
        """The id of the newest audit row, from which an act counts its own."""
        return int(await self._connection.fetchval("select coalesce(max(id), 0) from audit_log"))

    async def audit(self, since: int, customer: str | None = None) -> list[dict[str, Any]]:
        """Audit rows newer than `since`, of one customer or of all, oldest first; `reply` for those that have one.

        Runs of an earlier demo that an engine still remembers can write rows too; their customers are not ours.
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
        """How often each action stands in those rows."""
        return Counter(row["action"] for row in await self.audit(since, customer))

    async def refunds(self, customer: str | None = None) -> list[dict[str, Any]]:
        """The ledger, of one customer or whole, oldest first."""
        rows = await self._connection.fetch(
            "select id, run_id, request_id, customer_id, order_id, amount_cents, approved_cents, status, decision,"
            " decided_by, outcome from refunds where $1::text is null or customer_id = $1 order by id",
            customer,
        )
        return [dict(row) for row in rows]
