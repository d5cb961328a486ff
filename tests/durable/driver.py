"""What this project's durable tests need besides its pytest plugin: emails, decisions, and the rows they leave."""

import json
import os
from functools import partial
from typing import Any

import db
from offline.testing import AsyncServer
from telemetry import rows
from tests.serving import quiet_hour

OFFICIAL = os.environ.get("INNGEST_TEST_SERVER")


class Engine(AsyncServer):
    """The plugin's server, with what people do here."""

    # In the end of its lifespan the app closes its pool, which the next test uses too.
    lifespan = "off"

    def __init__(self, **options: Any) -> None:
        """Prepare an engine that starts at a quiet hour, and not just before the app's next cron."""
        super().__init__(**{"starts_at": quiet_hour()} | options)

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        # What a test has cost is no row of the next one, nor a reason to open its pool.
        await rows.here().written()

    app_url: str
    """Where the fixture of the test serves the app."""

    async def email(self, text: object, customer_id: object = "cust_002", event_id: str | None = None) -> str:
        """A customer writes. Return the id of the event."""
        data = {"customer_id": customer_id, "email_text": text}
        return (await self.send("customer/email.received", data, id=event_id)).id

    async def decide(self, **data: Any) -> None:
        """Somebody decides, as the course does it: by an event."""
        await self.send("refund/approval.decided", data)

    async def cancel_all(self) -> None:
        """Cancel every email's run that has not ended, and wait until each has left its row."""
        for run_id in await self.cancel_unfinished():
            await self.until(partial(failures_of, run_id), 1)

    async def cancel_unfinished(self) -> list[str]:
        """Cancel every email's run that has not ended, and return their ids."""
        unfinished = await db.fetch(
            "select run_id from audit_log group by run_id"
            " having 'message_received' = any(array_agg(action))"
            " and not array['message_sent', 'run_failed'] && array_agg(action)"
        )
        for row in unfinished:
            await self.cancel(row["run_id"])
        return [row["run_id"] for row in unfinished]

    def stored(self) -> str:
        """All that the engine keeps of runs, but for the events that people sent. Skips where it cannot be read."""
        kept: list[Any] = []
        for run in self.dev_server.state.runs.values():
            kept += [run.output, *run.memos.values(), *run.attempts]
            kept += [(step.output, step.error, step.opts, step.attempts) for step in run.steps.values()]
        return json.dumps(kept, default=str)


async def actions(customer_id: str | None = None) -> dict[str, int]:
    """How often each action stands in the audit trail."""
    rows = await db.fetch(
        "select action, count(*) from audit_log where $1::text is null or customer_id = $1 group by action", customer_id
    )
    return {row["action"]: row["count"] for row in rows}


async def refunds_in_ledger() -> list[tuple[str, str | None]]:
    """Status and decision of every refund, in the order they were asked for."""
    return [(row["status"], row["decision"]) for row in await db.fetch("select * from refunds order by id")]


async def failures_of(run_id: str) -> int:
    """How often the run's failure stands in the audit trail."""
    return len(await db.fetch("select from audit_log where run_id = $1 and action = 'run_failed'", run_id))
