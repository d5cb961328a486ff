"""Every email that was taken ends in a reply or in front of a person, whatever was away meanwhile, and for how long.

What an engine loses it tells nobody. So the tables say what has not ended: `inbox` the emails that no run has begun,
`unanswered` the runs without an end. They are looked through by the cron `resend-wake-ups`, and by every process that
serves the webhooks, because a wiped engine has no crons until the app is registered again.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import db
from outbound import chat

# A model that fails is tried for four to six minutes. A run that is silent for longer is lost, or in trouble.
SILENT = timedelta(minutes=10)
# The engine queues what the throttle holds back, so an email that has not begun is sent again first. Its event has an
# id, by which the engine knows it if it was only slow.
NOT_BEGUN = timedelta(minutes=4)
# This counts from the first time that it was sent again: after a long outage the engine has its chance first.
GIVEN_UP = timedelta(hours=1)
# The engine knows the id of an event for 24 hours. What is older is not sent again: it could be answered twice.
ID_IS_KNOWN = timedelta(hours=20)
# The cron asks the provider from ten minutes on, so by then it has asked several times.
NO_OUTCOME = timedelta(minutes=30)
EVERY = timedelta(minutes=5)
AT_ONCE = 20
MOST_AT_A_TICK = 500
PAGE = "/approvals/needs-a-person"
logger = logging.getLogger("customer-support")
# Gives the engine events as `inbox` keeps them: id, name and data of each.
Send = Callable[[Sequence[Any]], Awaitable[Any]]


async def keep_looking(send: Send) -> None:
    """Look for what was lost at once and then every five minutes, until it is cancelled."""
    while True:
        await look(send)
        await asyncio.sleep(EVERY.total_seconds())


async def look(send: Send) -> None:
    """Find what was lost, tell people, and send again what no run has begun.

    This needs a database and no engine. What fails is logged by the type of its error, and done the next time.
    """
    for work in (find_lost, tell_people, partial(send_again, send)):
        try:
            await work()
        except Exception as error:
            logger.warning("Emails that may be lost were not seen to: %s", type(error).__name__)


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
    await forget_begun()
    for row in await _given_up():
        data = json.loads(row["event"])["data"]
        error = "No run began to answer this email in time."
        kept = {"event_id": row["event_id"], "sender": row["sender"], "email_text": data.get("email_text")}
        await db.record("run_failed", row["event_id"], "not-begun", data.get("customer_id"), error=error, **kept)
    [untold] = await db.fetch("select count(*) as rows from needs_person where told_at is null")
    return {"emails": len(await _to_send_again()), "untold": untold["rows"]}


async def _silent_runs() -> list[dict[str, Any]]:
    """Emails that were received, and neither answered nor handed to a person, and wait for nobody.

    A refund that waits for its decision keeps its run from being silent until its time is up.
    """
    return await db.fetch(
        "select m.run_id, m.customer_id, m.detail, refund.decision, refund.decided_by, refund.order_id"
        " from unanswered u join audit_log m on m.id = u.audit_id left join lateral ("
        "   select r.*, coalesce(r.settled_at, r.decided_at, r.expires_at) as last from refunds r"
        "   where r.run_id = m.run_id order by last desc, id desc limit 1) refund on true"
        " where m.created_at < now() - $1::interval"
        " and coalesce(refund.last, m.created_at) < now() - $1::interval order by u.audit_id limit $2",
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


async def forget_begun() -> None:
    """Remove the copies of emails that a run or a person has."""
    await db.fetch(
        "update inbox set event = null where event is not null and exists (select from audit_log a"
        " where a.detail ->> 'event_id' = inbox.event_id and a.action in ('message_received', 'run_failed'))"
    )


async def _to_send_again() -> list[dict[str, Any]]:
    """The emails that no run has begun and for which the engine still has time, the oldest first."""
    return await db.fetch(
        "select event_id, event from inbox where event is not null and received_at < now() - $1::interval"
        " and received_at > now() - $2::interval and coalesce(sent_again_at > now() - $3::interval, true)"
        " order by received_at limit $4",
        NOT_BEGUN,
        ID_IS_KNOWN,
        GIVEN_UP,
        MOST_AT_A_TICK,
    )


async def _given_up() -> list[dict[str, Any]]:
    return await db.fetch(
        "select event_id, sender, event from inbox where event is not null"
        " and (sent_again_at < now() - $1::interval or received_at < now() - $2::interval)"
        " order by received_at limit $3",
        GIVEN_UP,
        ID_IS_KNOWN,
        MOST_AT_A_TICK,
    )


async def send_again(send: Send) -> int:
    """Send the events of emails that no run has begun, with the ids that they had; returns how many."""
    await forget_begun()
    rows = await _to_send_again()
    # This is written first, so that an engine that takes nothing does not keep the emails from people.
    await db.fetch(
        "update inbox set sent_again_at = now() where event_id = any($1) and sent_again_at is null",
        [row["event_id"] for row in rows],
    )
    events = [json.loads(row["event"]) for row in rows]
    # The engine takes a few megabytes at once.
    for start in range(0, len(events), AT_ONCE):
        await send(events[start : start + AT_ONCE])
    return len(events)


async def tell_people() -> None:
    """Post to the reviewers' chat what needs a person. Raises chat.UnavailableError."""

    # The rows stay locked until they were told, so that two processes do not tell of the same ones.
    async def work(connection: db.Connection) -> None:
        rows = await connection.fetch(
            "select n.audit_id, a.customer_id from needs_person n join audit_log a on a.id = n.audit_id"
            " where n.told_at is null order by n.audit_id for update of n skip locked"
        )
        shown = rows[: chat.MOST_LINES]
        lines = [(f"An email of {row['customer_id'] or 'nobody we know'} needs a person.", PAGE) for row in shown]
        if len(rows) > len(shown):
            lines.append((f"{len(rows) - len(shown)} more need a person.", PAGE))
        if lines:
            await chat.post(lines)
        told = [row["audit_id"] for row in rows]
        await connection.execute(
            "update needs_person set told_at = now() where audit_id = any($1) and done_at is null", told
        )

    await db.transaction(work)
