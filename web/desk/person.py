"""What needs a person: emails without an answer, lost runs, payments without an outcome, senders whom nobody knows.

Each is a row of the audit trail, and a trigger of the database puts it on this list (migrations/0006). Whoever has seen
to it says so; the list keeps who that was and when, and nothing is ever deleted.
"""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from db import clean, fetch
from web.desk.pages import NOTE_MAX_CHARS, Desk, number
from web.desk.queries import PAGE, PREVIEW_CHARS, WHOLE_CHARS

DONE_SHOWN = 10
# An email whose run was silent, and then failed, is one entry with several rows: the newest one says how it stands.
_ENTRY = (
    "select a.id, a.action, a.customer_id, now.run_id, a.created_at, n.done_by, n.done_at, n.note,"
    " left(now.detail::text, $1) as detail, c.email,"
    " (select created_at from audit_log sent where sent.key = answering.run_id || ':audit-sent') as answered_at,"
    " (select detail ->> 'email_text' from audit_log m where m.key = now.run_id || ':audit-received') as received_text,"
    " coalesce((select jsonb_agg(r.id order by r.id) from refunds r where r.run_id = now.run_id), '[]') as refunds"
    " from needs_person n join audit_log a on a.id = n.audit_id left join customers c on c.id = a.customer_id"
    " left join lateral (select run_id, detail from audit_log l where l.action = 'run_failed'"
    "  and l.detail ->> 'event_id' = a.detail ->> 'event_id' order by l.id desc limit 1) newest on true"
    " cross join lateral (select coalesce(newest.run_id, a.run_id) as run_id,"
    "  coalesce(newest.detail, a.detail) as detail) now"
    # An email that was given up under its event's id may have found its run after all.
    " cross join lateral (select coalesce((select m.run_id from audit_log m where m.action = 'message_received'"
    "  and m.detail ->> 'event_id' = a.detail ->> 'event_id' order by m.id desc limit 1), now.run_id) as run_id"
    " ) answering"
)


async def needs_a_person(desk: Desk, request: Request) -> Response:
    """GET /approvals/needs-a-person: what nobody has seen to, the oldest first, and what was done last."""
    visitor = await desk.sign_in.reviewer(request)
    after = number(request.query_params.get("after", "")) or 0
    rows, more = await waiting(after)
    return desk.respond(
        "person.html", visitor, page="person", rows=rows, more=more, after=after, done=await lately_done()
    )


async def waiting(after: int = 0) -> tuple[list[dict[str, Any]], bool]:
    """A page of what nobody has seen to, the oldest first, and whether more follow; behind the row of id `after`."""
    rows = await fetch(
        f"{_ENTRY} where n.done_at is null and n.audit_id > $2 order by n.audit_id limit $3",
        WHOLE_CHARS,
        after,
        PAGE + 1,
    )
    return [_read(row) for row in rows[:PAGE]], len(rows) > PAGE


async def lately_done() -> list[dict[str, Any]]:
    """What was done last, the newest first."""
    rows = await fetch(
        f"{_ENTRY} where n.done_at is not null order by n.done_at desc, n.audit_id desc limit $2",
        WHOLE_CHARS,
        DONE_SHOWN,
    )
    return [_read(row) for row in rows]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """The entry with what its detail says, of a long email the beginning. The audit trail has the whole."""
    try:
        detail = json.loads(row["detail"])
    except ValueError:
        detail = {}
    return {
        **row,
        "why": detail.get("error") or detail.get("why") or "",
        "email_text": _beginning(detail.get("email_text") or row["received_text"] or ""),
        "draft": detail.get("reply") or "",
        "sender": detail.get("sender") or row["email"] or "",
        "subject": detail.get("subject") or "",
        "refunds": json.loads(row["refunds"]),
    }


def _beginning(text: str) -> str:
    return text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + " …"


async def done(audit_id: int, by: str, form: Mapping[str, str]) -> bool:
    """Record who has seen to it. With `same_sender` in the form, so is all else of that sender that waits.

    Returns whether there is such an entry; what somebody else did before stays as it was recorded.
    """
    note = clean(form.get("note", "").strip()[:NOTE_MAX_CHARS]) or None
    rows = await fetch(
        "with chosen as (select id, detail ->> 'sender' as sender from audit_log where id = $1),"
        " same as (select n.audit_id from needs_person n join audit_log a on a.id = n.audit_id, chosen"
        "  where n.done_at is null and (a.id = chosen.id or ($4 and a.detail ->> 'sender' = chosen.sender))),"
        " marked as (update needs_person n set done_by = $2, done_at = now(), note = $3 from same"
        "  where n.audit_id = same.audit_id and n.done_at is null)"
        " select from needs_person where audit_id = $1",
        audit_id,
        by,
        note,
        "same_sender" in form,
    )
    return bool(rows)
