"""What the agent may ask for: the bounds of a refund request, checked before any person is troubled with it.

No amount is refused here for being high: that is for the person who sees it.
"""

import json
from typing import Any

import settings
from db import clean
from refunds.lookalikes import INVISIBLE

REASON_MAX_CHARS = 1000
ORDER_MAX_CHARS = 64
# A trillion dollars. What is above it is a mistake, and soon a number that JSON does not carry.
AMOUNT_MAX_CENTS = 10**14 - 1


def order_as_given(order_id: str) -> str:
    """The order as the agent named it, as one line of text that Postgres can store. Nothing else is changed."""
    return " ".join(str(clean(order_id)).split())


def requested_refund(call_id: str | None, arguments: str | None, earlier: int = 0) -> tuple[dict[str, Any], str | None]:
    """The refund that a paused tool call asks for, and what is wrong with it, if anything.

    An amount is a whole number of cents above 0. `earlier` counts the refunds that the same email has asked for
    already. Raises settings.SettingError for an unusable REQUESTS_PER_EMAIL.
    """
    try:
        given = json.loads(arguments or "")
        order_id, amount, reason = given["order_id"], given["amount_cents"], given["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"call_id": call_id}, "order_id, amount_cents and reason are needed"
    if not isinstance(order_id, str):
        return {"call_id": call_id}, "order_id, amount_cents and reason are needed"
    order_id = order_as_given(order_id)
    refund = {"call_id": call_id, "order_id": order_id, "amount_cents": amount, "reason": reason}
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX_CENTS:
        # NaN and numbers without end would not survive as JSON.
        shortened = refund | {"amount_cents": str(amount)[:ORDER_MAX_CHARS]}
        return shortened, f"amount_cents must be a whole number from 1 to {AMOUNT_MAX_CENTS}"
    if len(order_id) > ORDER_MAX_CHARS or not any(letter.isalnum() for letter in INVISIBLE.sub("", order_id)):
        return refund, "order_id does not name an order"
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= REASON_MAX_CHARS:
        return refund, "reason must be one sentence"
    most = settings.requests_per_email()
    if earlier >= most:
        return refund, f"one email can ask for {most} refunds; a colleague looks at what is on top of that"
    return refund, None
