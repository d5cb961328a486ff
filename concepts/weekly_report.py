"""The query of concept 2's weekly report, read from the worker's own audit trail and ledger."""

from datetime import UTC, datetime
from typing import Any

import db

# One row for each of the four whole weeks (Monday to Sunday, UTC) before $1. An email whose run was started again is
# still one conversation. The seconds are the time that people took to decide; a refund that expired has none. The
# course's query asks for a column `status` and counts per agent; this audit trail has actions instead, and one agent.
WEEKS = """
select to_char(monday, 'YYYY-MM-DD') as week, audited.*, decided.*
from generate_series(
    date_trunc('week', $1::timestamptz at time zone 'UTC') - interval '28 days',
    date_trunc('week', $1::timestamptz at time zone 'UTC') - interval '7 days',
    interval '7 days'
) as monday,
lateral (
    select count(distinct coalesce(detail ->> 'event_id', run_id)) filter (where action = 'message_received')
               as conversations,
           count(*) filter (where action = 'refund_issued') as refunds_issued,
           count(*) filter (where action = 'refund_blocked') as refunds_blocked
    from audit_log where date_trunc('week', created_at at time zone 'UTC') = monday
) as audited,
lateral (
    select percentile_cont(0.5) within group (order by extract(epoch from decided_at - requested_at)::float8)
               as approval_seconds_median,
           max(extract(epoch from decided_at - requested_at))::float8 as approval_seconds_slowest
    from refunds
    where decision in ('approved', 'rejected') and date_trunc('week', decided_at at time zone 'UTC') = monday
) as decided
order by monday
"""


async def read_weeks(milliseconds: int) -> list[dict[str, Any]]:
    """Return the four weeks before this time, oldest first. The time is in milliseconds since 1970, as in an event."""
    return await db.fetch(WEEKS, datetime.fromtimestamp(milliseconds / 1000, UTC))
