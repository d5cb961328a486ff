"""The inbox: every email is a row before its provider hears that it was taken.

The engine may accept an event and lose it. The row keeps the event until a run or a person has the email;
people/lost.py sends it again, and after an hour asks a person. What was decided for an email stays: one that is
delivered again becomes the same event.
"""

import json
from typing import cast

from db import Connection, transaction
from web import Event
from web.webhooks.inbound_email import RECEIVED, address, to_a_person


async def keep(event: Event, most_in_an_hour: int) -> Event | None:
    """Write the email's row, and return the event to send; None if a run or a person has the email already.

    No more than `most_in_an_hour` emails of one sender are answered, whatever their headers say, because two programs
    that answer each other never stop. The others go to a person.
    """
    said = event["data"].get("from", "")
    sender = address(said).encode().lower().decode()

    async def work(connection: Connection) -> Event | None:
        # Emails of one sender that come at once are counted one after the other.
        await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 2))", sender)
        earlier = await connection.fetchval(
            "select count(*) from inbox where sender = $1 and received_at > now() - interval '1 hour'", sender
        )
        kept = event
        if event["name"] == RECEIVED and earlier >= most_in_an_hour:
            kept = to_a_person(event, said, f"this sender wrote more than {most_in_an_hour} emails in an hour")
        await connection.execute(
            "insert into inbox (event_id, sender, event) values ($1, $2, $3) on conflict do nothing",
            event["id"],
            sender,
            json.dumps(kept),
        )
        stored = await connection.fetchval("select event from inbox where event_id = $1", event["id"])
        return None if stored is None else cast(Event, json.loads(stored))

    return await transaction(work)
