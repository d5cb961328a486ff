"""The reply goes out: by mail if that is configured, and into the audit trail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import inngest

import worker
from outbound import mail
from steps.failures import hand_over
from steps.retries import RETRIES

# How long to wait after each failed try of a mail. A mail server that says "later" means minutes.
MAIL_PAUSES = [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1)]


@asynccontextmanager
async def retry_mail(attempt: int) -> AsyncIterator[None]:
    """A mail that the server did not take is tried again after some minutes. `attempt` counts from 0.

    The UnsentError itself is raised when it is final, and when this was the last try.
    """
    try:
        yield
    except mail.UnsentError as error:
        if error.final or attempt >= RETRIES:
            raise
        raise inngest.RetryAfterError(str(error), MAIL_PAUSES[attempt]) from None


async def audit_sent(ticket: worker.Ticket, event: inngest.Event, reply: str, attempt: int) -> None:
    """Send the reply, if mail is configured, and write `message_sent`. `attempt` counts the tries of this step from 0.

    Raises RetryAfterError while the mail server may still take it, and NonRetriableError for a reply that cannot be
    delivered. That reply is kept in the `run_failed` row.
    """
    run_id = ticket["run_id"]
    try:
        async with retry_mail(attempt):
            await mail.send_once(
                run_id,
                "audit-sent",
                ticket["customer_id"],
                reply,
                mail_key=run_id,
                received=event.data,
                event_id=event.id,
            )
    except mail.UnsentError as error:
        await hand_over(run_id, event.id, event.data, str(error), reply=reply)
        raise inngest.NonRetriableError(str(error)) from None
