"""The outside world of the shelf: a model, a mailbox, a bank, a database. They are fakes that count their calls.

Every call is kept in `calls` and logged, so that whoever runs the shelf sees it. Start the shelf with BREAK=send_mail,
and every call of that name fails until the shelf is started without it.
"""

import asyncio
import logging
import os
from collections import Counter, defaultdict
from typing import Any

# A child of uvicorn's logger, so that the calls are shown without any configuration.
logger = logging.getLogger("uvicorn.concepts")
# The name of each call and what it was asked, in order.
calls: list[tuple[str, Any]] = []
# The payments that the bank has made: order and cents. A call that made none is in `calls` only.
paid: list[tuple[str, int]] = []
# What the database holds, by key.
stored: dict[str, Any] = {}
# How many answers are being written now, and the most that were written at once. Both count for each customer, and for
# all of them together under "all".
busy: Counter[str] = Counter()
peak: Counter[str] = Counter()
_references: dict[str, str] = {}
_failures: defaultdict[str, list[Exception | None]] = defaultdict(list)
_open = asyncio.Event()
_open.set()


class DeclinedError(Exception):
    """The bank refuses the payment, and would refuse it again."""


class BusyError(Exception):
    """The model has too much to do. The first argument says after how many seconds it may be asked again."""


def hold() -> None:
    """Let no answer be finished until `release`, so that work piles up."""
    _open.clear()


def release() -> None:
    """Let the answers be finished that `hold` kept back."""
    _open.set()


def fail(name: str, *errors: Exception | None) -> None:
    """Let the next calls of this name fail, one with each error. None lets a call pass. Failed calls count too."""
    _failures[name] += errors


def forget() -> None:
    """Forget every call, payment, row and planned failure."""
    for memory in (calls, paid, stored, peak, _references, _failures):
        memory.clear()
    release()


def asked(name: str) -> list[Any]:
    """Return what every call of this name was asked, in order."""
    return [what for called, what in calls if called == name]


def _call(name: str, what: Any) -> None:
    calls.append((name, what))
    logger.info("outside: %s(%r), call %d of it", name, what, len(asked(name)))
    if os.environ.get("BREAK") == name:
        raise ConnectionError(f"{name} is broken on purpose")
    if _failures[name]:
        error = _failures[name].pop(0)
        if error is not None:
            raise error


def tokens() -> int:
    """Return how much text the model has read, which is what it costs. Each word counts as one token."""
    return sum(len(prompt.split()) for prompt in asked("ask_model"))


async def ask_model(prompt: str) -> str:
    """The model: every call costs money and gives another answer."""
    _call("ask_model", prompt)
    return f"answer {len(asked('ask_model'))} to: {prompt}"


async def look_up(customer_id: str) -> dict[str, str]:
    """The customer database: returns the customer's id and tier."""
    _call("look_up", customer_id)
    tiers = {"cust_001": "enterprise", "cust_002": "pro", "cust_003": "pro"}
    return {"id": customer_id, "tier": tiers.get(customer_id, "standard")}


async def count(customer_id: str) -> None:
    """The statistics: one more email of this customer."""
    _call("count", customer_id)


async def check_health(customer_id: str) -> None:
    """The health check of one customer."""
    _call("check_health", customer_id)


async def publish(text: str) -> None:
    """The page on which reports are published."""
    _call("publish", text)


async def read_mail(message_id: str) -> str:
    """The mailbox: returns what a customer has written."""
    _call("read_mail", message_id)
    return f"{message_id} from Grace Hopper, grace@example.com: I was charged twice."


async def send_mail(to: str, text: str) -> None:
    """The mailbox: sends a text, which cannot be taken back."""
    _call("send_mail", (to, text))


async def note_failure(function_id: str, run_id: str, error: str) -> None:
    """The list of failed runs that a person has to look at."""
    _call("note_failure", (function_id, run_id, error))


async def tell_team(text: str) -> None:
    """The support team's chat."""
    _call("tell_team", text)


async def ask_carrier(customer_id: str) -> None:
    """The carrier, who is asked where a customer's parcel is and answers later."""
    _call("ask_carrier", customer_id)


async def pay(order_id: str, cents: int, key: str | None = None) -> str:
    """The bank: pays at every call, except when it has seen the key before. Returns the payment's reference.

    Raises DeclinedError for the order called "declined".
    """
    _call("pay", (order_id, cents, key))
    if order_id == "declined":
        raise DeclinedError("the card is declined")
    if key is not None and key in _references:
        return _references[key]
    reference = f"payment-{len(paid) + 1}"
    paid.append((order_id, cents))
    if key is not None:
        _references[key] = reference
    return reference


async def write_answer(customer_id: str, email: Any) -> None:
    """A person who answers an email. This takes a moment, or until `release`; `busy` and `peak` count it meanwhile."""
    _call("write_answer", (customer_id, email))
    everybody = ("all", customer_id)
    busy.update(everybody)
    for who in everybody:
        peak[who] = max(peak[who], busy[who])
    try:
        await asyncio.sleep(0.01)
        await _open.wait()
    finally:
        busy.subtract(everybody)


async def load_tickets(ticket_ids: list[str]) -> list[str]:
    """The database: returns the texts of these tickets, in this order, in one call."""
    _call("load_tickets", ticket_ids)
    return [f"text of {ticket_id}" for ticket_id in ticket_ids]


async def embed(texts: list[str]) -> list[list[float]]:
    """The embedding model: takes any number of texts in one call. Returns one vector for each, in this order."""
    _call("embed", texts)
    return [[float(len(text))] for text in texts]


async def store(rows: dict[str, Any]) -> int:
    """The database: takes any number of rows in one call and ignores keys that it has. Returns how many were new."""
    _call("store", rows)
    new = {key: row for key, row in rows.items() if key not in stored}
    stored.update(new)
    return len(new)


async def audit(what: str, outcome: str, decided_by: str) -> None:
    """The audit trail: what became of something, and who decided it."""
    _call("audit", (what, outcome, decided_by))
