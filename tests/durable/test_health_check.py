"""The cron wakes exactly the customers whose tier includes a health check, once per tick."""

from typing import Any

import fastapi
import inngest.fast_api

import db
import inngest_app
from tests.durable.driver import Engine, actions


async def checked() -> list[str]:
    rows = await db.fetch("select customer_id from audit_log where action = 'health_check' order by customer_id")
    return [row["customer_id"] for row in rows]


async def test_every_tick_checks_the_three_eligible_customers(database: None) -> None:
    """Without the app's other cron, which would tick 576 times."""
    app = fastapi.FastAPI()
    functions: list[Any] = [inngest_app.daily_health_check, inngest_app.customer_health_check]
    inngest.fast_api.serve(app, inngest_app.client, functions)
    async with Engine() as engine:
        await engine.serve(app)
        await engine.advance(days=1)
        assert await checked() == ["cust_001", "cust_002", "cust_003"]
        await engine.advance(days=1)
        assert await checked() == ["cust_001"] * 2 + ["cust_002"] * 2 + ["cust_003"] * 2


async def test_one_check_that_fails_holds_up_nobody_else(engine: Engine) -> None:
    await engine.send("customer/health_check.requested", {"customer_id": "cust_404"})
    await engine.send("customer/health_check.requested", {"customer_id": "cust_005"})
    await engine.until(checked, ["cust_005"])


async def test_a_request_delivered_twice_is_checked_once(engine: Engine) -> None:
    event = await engine.send("customer/health_check.requested", {"customer_id": "cust_001"})
    await engine.send("customer/health_check.requested", {"customer_id": "cust_001"}, id=event.id)
    await engine.until(actions, {"health_check": 1})
    await engine.settle()
    assert await actions() == {"health_check": 1}
