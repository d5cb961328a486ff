"""What the worker may ask for and may say about money: checks on a model that is instructed, but not trusted."""

import json
import os
import re
from typing import Any

from refunds import ledger
from refunds.promises import promises_money

REASON_MAX_CHARS = 1000
ORDER_MAX_CHARS = 64


class UnbackedPromiseError(RuntimeError):
    """The reply says that money moves and the ledger does not; the reply must not be sent."""


def refund_limit() -> int:
    """What every refund must stay below, in cents: `REFUND_LIMIT_CENTS` (default 50000)."""
    return int(os.environ.get("REFUND_LIMIT_CENTS") or "50000")


def requested_refund(call_id: str | None, arguments: str | None) -> tuple[dict[str, Any], str | None]:
    """The refund that a paused tool call asks for, and what is wrong with it, if anything.

    An amount is a whole number of cents, above 0 and below the limit.
    """
    limit = refund_limit()
    try:
        given = json.loads(arguments or "")
        order_id, amount, reason = ledger.order_key(given["order_id"]), given["amount_cents"], given["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"call_id": call_id}, "order_id, amount_cents and reason are needed"
    problem = None
    if type(amount) is not int or not 0 < amount < limit:
        problem = f"amount_cents must be a whole number above 0 and below {limit}"
        # NaN and numbers without end would not survive as JSON.
        amount = str(amount)[:ORDER_MAX_CHARS]
    elif not 0 < len(order_id) <= ORDER_MAX_CHARS:
        problem = "order_id does not name an order"
    elif not isinstance(reason, str) or not 0 < len(reason.strip()) <= REASON_MAX_CHARS:
        problem = "reason must be one sentence"
    return {"call_id": call_id, "order_id": order_id, "amount_cents": amount, "reason": reason}, problem


async def check_promises(reply: str, run_id: str, customer_id: str) -> None:
    """Raise UnbackedPromiseError if the reply promises money that no refund in the ledger stands for.

    What stands for it: a refund issued in this run, or an earlier one of the customer's that the reply names. Nothing
    stands for a promise that names an order whose refund this run asked for and did not get.
    """
    clauses = promises_money(reply)
    if not clauses:
        return
    rows = await ledger.of_run(run_id)
    issued = {row["order_id"] for row in await ledger.of_customer(customer_id) if row["status"] == "issued"}
    backed = any(row["status"] == "issued" for row in rows) or _names(reply, issued)
    if not backed or any(_names(clause, {row["order_id"] for row in rows} - issued) for clause in clauses):
        raise UnbackedPromiseError("the reply promises money that no refund in the ledger stands for; it is not sent")


def _names(text: str, order_ids: set[str]) -> bool:
    spelled = ("-?".join(order_id.replace("-", "")) for order_id in order_ids)
    return any(re.search(rf"\b{order}\b", ledger.order_key(text)) for order in spelled)
