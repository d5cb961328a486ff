"""The learner's database as the gates see it: customers and the audit trail, which they only read."""

import asyncpg
from asyncpg import Pool, Record


class RowsError(RuntimeError):
    """The database does not answer, or it lacks a table; the message says which and what to do."""


class Rows:
    """The database behind a pool. Every method raises RowsError when the database does not answer as expected."""

    def __init__(self, pool: "Pool[Record]") -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> list[Record]:
        """All rows of a query."""
        try:
            return await self._pool.fetch(query, *arguments)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise RowsError(f"The database: {type(error).__name__}: {error}") from error

    async def last(self) -> int:
        """The id of the newest audit row. Rows with a greater id were written after this call."""
        return int((await self.fetch("select coalesce(max(id), 0) from audit_log"))[0][0])

    async def actions(
        self, *, after: int = 0, customer: str | None = None, runs: list[str] | None = None
    ) -> dict[str, int]:
        """How often each action was written: after the row with this id, for this customer, by these runs."""
        query = """
            select action, count(*) from audit_log
            where id > $1 and ($2::text is null or customer_id = $2) and ($3::text[] is null or run_id = any($3))
            group by action
        """
        return {row["action"]: row["count"] for row in await self.fetch(query, after, customer, runs)}

    async def written_by(self, runs: list[str]) -> list[str]:
        """The actions that these runs wrote, in the order in which they wrote them."""
        rows = await self.fetch("select action from audit_log where run_id = any($1) order by id", runs)
        return [row["action"] for row in rows]

    async def refuses(self, action: str) -> bool:
        """Whether the table refuses this audit action. A row is written to find out, and rolled back."""
        async with self._pool.acquire() as connection:
            attempt = connection.transaction()
            await attempt.start()
            try:
                await connection.execute(
                    "insert into audit_log (action, key, run_id) values ($1, 'gate', 'gate')", action
                )
            except asyncpg.CheckViolationError:
                return True
            except asyncpg.PostgresError:
                return False
            finally:
                await attempt.rollback()
        return False

    async def customers(self) -> dict[str, str]:
        """The tier of each customer, by id."""
        return {row["id"]: row["tier"] for row in await self.fetch("select id, tier from customers")}
