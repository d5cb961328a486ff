"""What the engine lost reaches a person: emails that no run has begun, runs that ended without a word.

An engine that is wiped tells nobody of the runs that it had. So the cron `resend-wake-ups` looks into the tables.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import inngest

import db
from outbound import chat
from steps.retries import retry_chat

# A model that fails is tried for four to six minutes. A run that is silent for longer is lost, or in trouble.
SILENT = timedelta(minutes=10)
# The engine queues what the throttle holds back, so an email that has not begun is sent again first. Its event has an
# id, by which the engine knows it if it was only slow.
NOT_BEGUN = timedelta(minutes=4)
GIVEN_UP = timedelta(hours=1)
LOOK_BACK = timedelta(days=1)
# The cron asks the provider from ten minutes on, so by then it has asked several times.
NO_OUTCOME = timedelta(minutes=30)
AT_ONCE = 20
MOST_AT_A_TICK = 500
PAGE = "/approvals/needs-a-person"
Send = Callable[[list[inngest.Event]], Awaitable[Any]]


async def find_lost() -> dict[str, int]:
    """Write `run_failed` for what was lost, once, under the run's id, or the event's if no run is known.

    Returns how many emails there are to send again, and of how many rows nobody was told yet.
    """
    for row in await _silent_runs():
        error = "No reply went out, and its run has been silent for ten minutes. It may be lost, or still trying."
        if row["decision"] == "approved":
            error += f" The refund of order {row['order_id']} was approved by {row['decided_by']} and not carried out."
        received = json.loads(row["detail"])
        kept = {name: received.get(name) for name in ("event_id", "email_text")}
        await db.record("run_failed", row["run_id"], "lost", row["customer_id"], error=error, **kept)
    for row in await _payments_without_an_outcome():
        error = f"The payment provider has not said whether the refund of order {row['order_id']} was paid."
        await db.record(
            "run_failed", row["run_id"], f"no-outcome:{row['id']}", row["customer_id"], error=error, refund_id=row["id"]
        )
    for row in await _not_begun(GIVEN_UP, LOOK_BACK):
        data = json.loads(row["event"])["data"]
        error = "No run began to answer this email within an hour."
        kept = {"event_id": row["event_id"], "sender": row["sender"], "email_text": data.get("email_text")}
        await db.record("run_failed", row["event_id"], "not-begun", data.get("customer_id"), error=error, **kept)
    [untold] = await db.fetch("select count(*) as rows from needs_person where told_at is null")
    return {"emails": len(await _not_begun(NOT_BEGUN, GIVEN_UP)), "untold": untold["rows"]}


async def _silent_runs() -> list[dict[str, Any]]:
    """Emails of the last day that were received, and neither answered nor handed to a person, and wait for nobody.

    A refund that waits for its decision keeps its run from being silent until its time is up. Runs of the worker's own
    command line are left out, because whoever started one was there.
    """
    return await db.fetch(
        "select m.run_id, m.customer_id, m.detail, refund.decision, refund.decided_by, refund.order_id"
        " from audit_log m left join lateral ("
        "   select r.*, coalesce(r.settled_at, r.decided_at, r.expires_at) as last from refunds r"
        "   where r.run_id = m.run_id order by last desc, id desc limit 1) refund on true"
        " where m.action = 'message_received' and m.created_at between now() - $1::interval and now() - $2::interval"
        " and m.run_id not like 'worker-%' and coalesce(refund.last, m.created_at) < now() - $2::interval"
        " and not exists (select from audit_log a where a.key in"
        "   (m.run_id || ':audit-sent', m.run_id || ':audit-run-failed', m.run_id || ':lost'))"
        " order by m.created_at limit $3",
        LOOK_BACK,
        SILENT,
        MOST_AT_A_TICK,
    )


async def _payments_without_an_outcome() -> list[dict[str, Any]]:
    return await db.fetch(
        "select * from refunds where status = 'approved' and payment_started_at < now() - $1::interval"
        " order by payment_started_at limit $2",
        NO_OUTCOME,
        MOST_AT_A_TICK,
    )


async def _not_begun(after: timedelta, before: timedelta) -> list[dict[str, Any]]:
    """The emails that came between these times ago and that neither a run nor a person has, the oldest first."""
    await db.fetch(
        "update inbox set event = null where event is not null and exists (select from audit_log a"
        " where a.detail ->> 'event_id' = inbox.event_id and a.action in ('message_received', 'run_failed'))"
    )
    return await db.fetch(
        "select event_id, sender, event from inbox where event is not null"
        " and received_at between now() - $1::interval and now() - $2::interval order by received_at limit $3",
        before,
        after,
        MOST_AT_A_TICK,
    )


async def send_again(send: Send) -> int:
    """Send the events of emails that no run has begun; returns how many. The events hold the emails."""
    events = [inngest.Event(**json.loads(row["event"])) for row in await _not_begun(NOT_BEGUN, GIVEN_UP)]
    # The engine takes a few megabytes at once.
    for start in range(0, len(events), AT_ONCE):
        await send(events[start : start + AT_ONCE])
    return len(events)


async def tell_people() -> None:
    """Post to the reviewers' chat what needs a person.

    Raises chat.UnavailableError, or RetryAfterError when the chat service named a time.
    """
    rows = await db.fetch(
        "select n.audit_id, a.customer_id from needs_person n join audit_log a on a.id = n.audit_id"
        " where n.told_at is null order by n.audit_id"
    )
    shown = rows[: chat.MOST_LINES]
    lines = [(f"An email of {row['customer_id'] or 'nobody we know'} needs a person.", PAGE) for row in shown]
    if len(rows) > len(shown):
        lines.append((f"{len(rows) - len(shown)} more need a person.", PAGE))
    async with retry_chat():
        await chat.post(lines)
    told = [row["audit_id"] for row in rows]
    await db.fetch("update needs_person set told_at = now() where audit_id = any($1) and done_at is null", told)
