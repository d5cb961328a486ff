"""Whoever reads the engine's store can read emails, and what steps returned, unless there is a key.

With ENCRYPTION_KEY both are encrypted before they leave this process. An event keeps in the open what the engine itself
needs: its name, its id, and the customer's id, by which the engine counts and correlates.
"""

from collections.abc import Mapping
from typing import Any

import inngest
from inngest_encryption import EncryptionMiddleware

import settings

# What an event says of an email. The middleware encrypts one field of an event, which has this name by default.
PRIVATE = ("email_text", "from", "subject", "authentication")
FIELD = "encrypted"
# The engine's own events that repeat the one which began a run.
TELL_OF_A_RUN = {"inngest/function.failed", "inngest/function.cancelled"}
UNREADABLE = "(encrypted with a key that ENCRYPTION_KEY does not have)"


def encryption() -> list[Any]:
    """The middleware of a client that reads or sends events of emails: nothing without ENCRYPTION_KEY.

    A program of your own that sends them needs this one line, `inngest.Inngest(..., middleware=encryption())`.
    """
    keys = settings.encryption_keys()
    return [PrivateEvents.factory(keys[0], fallback_decryption_keys=list(keys[1:]))] if keys else []


class PrivateEvents(EncryptionMiddleware):
    """Encrypts what steps return, and the private fields of events. Functions read both as if nothing had happened."""

    def before_send_events(self, events: list[inngest.Event]) -> None:
        """Move the private fields of each event into the one that is encrypted."""
        for event in events:
            private = {name: event.data[name] for name in PRIVATE if name in event.data}
            if private:
                rest = {name: value for name, value in event.data.items() if name not in private}
                event.data = {**rest, FIELD: private}
        super().before_send_events(events)

    def transform_input(self, ctx: Any, function: inngest.Function[Any], steps: inngest.StepMemos) -> None:
        """Move them back. Raises an Exception if no key fits, so that the run fails."""
        was_encrypted = FIELD in ctx.event.data
        super().transform_input(ctx, function, steps)
        if was_encrypted:
            ctx.event.data = _moved_back(ctx.event.data)
        if ctx.event.name in TELL_OF_A_RUN:
            ctx.event.data = self._with_its_cause(ctx.event.data)

    def _with_its_cause(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data of an event about a failed run, with the event that began the run as it was sent."""
        cause = data["event"]
        sent = cause.get("data") or {}
        try:
            read = _moved_back(self._decrypt_event_data(sent))
        except Exception:
            # The lost key is why the run failed. A person has to hear of it all the same.
            read = {name: value for name, value in sent.items() if name != FIELD} | {"email_text": UNREADABLE}
        return {**data, "event": {**cause, "data": read}}


def _moved_back(data: Mapping[str, Any]) -> dict[str, Any]:
    private = data.get(FIELD)
    if not isinstance(private, dict):
        return dict(data)
    rest = {name: value for name, value in data.items() if name != FIELD}
    return rest | {name: private[name] for name in PRIVATE if name in private}
