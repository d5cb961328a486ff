"""What the worker may ask for and may say about money: checks on a model that is instructed, but not trusted."""

import json
import os
import re
from typing import Any

import refunds

REASON_MAX_CHARS = 1000
ORDER_MAX_CHARS = 64
# A sentence that says money goes back, unless the same sentence takes it back.
PROMISE = re.compile(
    r"\b(?:refunded|refunding|reimbursed?|credited|money back)\b"
    r"|\brefund\b[^.!?]*\b(?:issued|processed|approved|sent|made|on its way|will|shortly|soon)\b"
    r"|\b(?:issued|issuing|processed|processing|sent|sending|approved|made|give|giving)\b[^.!?]*\brefund\b"
    r"|\b(?:i'll|we'll|i will|we will|going to|you'll|you will)\b[^.!?]*\brefund\b",
    re.IGNORECASE,
)
DENIAL = re.compile(
    r"\b(?:not|no|never|cannot|unable|unfortunately|declined?|rejected|expired|if|once|whether|before|until)\b|n't\b",
    re.IGNORECASE,
)


class UnbackedPromiseError(RuntimeError):
    """The reply says that money moves and the ledger does not; the reply must not be sent."""


def requested_refund(call_id: str | None, arguments: str | None) -> tuple[dict[str, Any], str | None]:
    """The refund that a paused tool call asks for, and what is wrong with it, if anything.

    An amount is a whole number of cents, above 0 and below `REFUND_LIMIT_CENTS` (default 50000).
    """
    limit = int(os.environ.get("REFUND_LIMIT_CENTS", "50000"))
    try:
        given = json.loads(arguments or "")
        order_id, amount, reason = refunds.order_key(given["order_id"]), given["amount_cents"], given["reason"]
    except (ValueError, TypeError, KeyError):
        return {"call_id": call_id}, "order_id, amount_cents and reason are needed"
    refund = {"call_id": call_id, "order_id": order_id, "amount_cents": amount, "reason": reason}
    if type(amount) is not int or not 0 < amount < limit:
        return refund, f"amount_cents must be a whole number above 0 and below {limit}"
    if not 0 < len(order_id) <= ORDER_MAX_CHARS:
        return refund, "order_id does not name an order"
    if not isinstance(reason, str) or len(reason) > REASON_MAX_CHARS:
        return refund, "reason must be one sentence"
    return refund, None


async def check_promises(reply: str, run_id: str, customer_id: str) -> None:
    """Raise UnbackedPromiseError if the reply promises money that no refund in the ledger stands for.

    What stands for it: a refund issued in this run, or an earlier one of the customer's that the reply names.
    """
    sentences = re.split(r"(?<=[.!?])\s", reply)
    if not any(PROMISE.search(text) and not DENIAL.search(text) for text in sentences):
        return
    if any(row["status"] == "issued" for row in await refunds.of_run(run_id)):
        return
    issued = [row["order_id"] for row in await refunds.of_customer(customer_id) if row["status"] == "issued"]
    if not any(order_id in refunds.order_key(reply) for order_id in issued):
        raise UnbackedPromiseError("the reply promises money that no refund in the ledger stands for; it is not sent")
