"""The query of concept 2's weekly report, read from the worker's own audit trail."""

from datetime import UTC, datetime, timedelta
from typing import Any

import db

# The course's query asks for a column `status` and counts per agent; this audit trail has actions instead, and one
# agent. A conversation is resolved when its reply was sent, and it took from the email's arrival until then. An
# escalation is an email that the worker could not answer, so that a person has it.
WEEK = """
select count(*) filter (where audited.action = 'message_sent') as resolved,
       avg(extract(epoch from audited.created_at - received.created_at))::float8 as average_seconds,
       count(*) filter (where audited.action = 'run_failed') as escalations,
       count(*) filter (where audited.action = 'refund_issued') as refunds_issued
from audit_log as audited
left join audit_log as received
    on audited.action = 'message_sent' and received.action = 'message_received' and received.run_id = audited.run_id
where audited.created_at >= $1 and audited.created_at < $2
"""


async def read_week(milliseconds: int) -> dict[str, Any]:
    """Return the figures of the last whole week (Monday to Sunday, UTC) before this time.

    The time is in milliseconds since 1970, as in an event. Without a reply in that week the average is None.
    """
    day = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = day - timedelta(days=day.weekday())
    last = monday - timedelta(weeks=1)
    [figures] = await db.fetch(WEEK, last, monday)
    return {"week": f"{last:%Y-%m-%d}"} | figures
