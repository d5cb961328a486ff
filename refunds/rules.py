"""What the agent may ask for: the bounds of a refund request, checked before any person is troubled with it."""

import json
from typing import Any

import settings
from refunds import ledger

REASON_MAX_CHARS = 1000
ORDER_MAX_CHARS = 64
# No email asks for more refunds than this; whatever comes on top is for a person to look at.
REQUESTS_PER_EMAIL = 5


def requested_refund(call_id: str | None, arguments: str | None, earlier: int = 0) -> tuple[dict[str, Any], str | None]:
    """The refund that a paused tool call asks for, and what is wrong with it, if anything.

    An amount is a whole number of cents, above 0 and below REFUND_LIMIT_CENTS. `earlier` counts the refunds that the
    same email has asked for already.
    """
    try:
        given = json.loads(arguments or "")
        order_id, amount, reason = ledger.order_key(given["order_id"]), given["amount_cents"], given["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"call_id": call_id}, "order_id, amount_cents and reason are needed"
    refund = {"call_id": call_id, "order_id": order_id, "amount_cents": amount, "reason": reason}
    limit = settings.refund_limit_cents()
    if type(amount) is not int or not 0 < amount < limit:
        # NaN and numbers without end would not survive as JSON.
        shortened = refund | {"amount_cents": str(amount)[:ORDER_MAX_CHARS]}
        return shortened, f"amount_cents must be a whole number above 0 and below {limit}"
    if not 0 < len(order_id) <= ORDER_MAX_CHARS:
        return refund, "order_id does not name an order"
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= REASON_MAX_CHARS:
        return refund, "reason must be one sentence"
    if earlier >= REQUESTS_PER_EMAIL:
        return (
            refund,
            f"one email can ask for {REQUESTS_PER_EMAIL} refunds; a colleague looks at what is on top of that",
        )
    return refund, None
