"""What the gates read in the learner's database: the audit trail. Reading only, but for what is rolled back at once."""

import asyncpg
from asyncpg import Pool, Record


class RowsError(RuntimeError):
    """The database does not answer or has no such table; the message says what to do."""


class Rows:
    """The database at `url`, as in DATABASE_URL. Raises RowsError."""

    def __init__(self, pool: "Pool[Record]") -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> list[Record]:
        """All rows of a query."""
        try:
            return await self._pool.fetch(query, *arguments)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise RowsError(f"The database: {type(error).__name__}: {error}") from error

    async def last(self) -> int:
        """The id of the newest audit row: what comes after it was written after this moment."""
        return int((await self.fetch("select coalesce(max(id), 0) from audit_log"))[0][0])

    async def actions(
        self, *, after: int = 0, customer: str | None = None, runs: list[str] | None = None
    ) -> dict[str, int]:
        """How often each action was written, by customer or by runs."""
        rows = await self.fetch(
            "select action, count(*) from audit_log where id > $1 and ($2::text is null or customer_id = $2)"
            " and ($3::text[] is null or run_id = any($3)) group by action",
            after, customer, runs,
        )  # fmt: skip
        return {row["action"]: row["count"] for row in rows}

    async def refuses(self, action: str) -> bool:
        """Whether the table itself refuses an audit action. Nothing stays written."""
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
        """Tier by customer id."""
        return {row["id"]: row["tier"] for row in await self.fetch("select id, tier from customers")}
