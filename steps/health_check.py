"""What the daily health check reads and writes."""

import inngest

import db


async def load_eligible_customers() -> list[str]:
    """The ids of the customers whose tier includes a health check. The engine stores them, so it is ids only."""
    return [customer["id"] for customer in await db.load_customers("pro", "enterprise")]


async def record_health_check(event: inngest.Event, run_id: str) -> None:
    """Write `health_check` with what happened to the customer in the last seven days, counted by action.

    Raises NonRetriableError for a customer that does not exist.
    """
    customer_id = str(event.data.get("customer_id"))
    if await db.get_customer(customer_id) is None:
        raise inngest.NonRetriableError(f"There is no customer {customer_id[:100]!r}.")
    week = await db.fetch(
        "select action, count(*) from audit_log where customer_id = $1 and action <> 'health_check'"
        " and created_at > now() - interval '7 days' group by action",
        customer_id,
    )
    last_7_days = {row["action"]: row["count"] for row in week}
    await db.record("health_check", run_id, "record-health-check", customer_id, last_7_days=last_7_days)
