"""The outside world of the shelf: a model, a mailbox, a bank. Fakes, and every call to one is counted and logged.

Each call says its name and what it was asked; `calls` remembers that, and the log shows it to whoever runs the shelf.
Start the shelf with BREAK=send_mail, and every call of that name fails, until it is started without.
"""

import asyncio
import logging
import os
from collections import Counter, defaultdict
from typing import Any

# A child of uvicorn's logger: whoever runs the shelf sees the calls without configuring anything.
logger = logging.getLogger("uvicorn.concepts")
calls: list[tuple[str, Any]] = []
# What really left the account, as opposed to what was asked for.
paid: list[tuple[str, int]] = []
# What the database holds, by key.
stored: dict[str, Any] = {}
# How many answers are being written now, and how many were at once at most: in all, and for each customer.
busy: Counter[str] = Counter()
peak: Counter[str] = Counter()
_references: dict[str, str] = {}
_failures: defaultdict[str, list[Exception | None]] = defaultdict(list)
_open = asyncio.Event()
_open.set()


class DeclinedError(Exception):
    """The bank says no, and will say no again."""


class BusyError(Exception):
    """The model has too much to do. The first argument: after how many seconds it may be asked again."""


def hold() -> None:
    """From now on answers take until `release`, so that work piles up behind them."""
    _open.clear()


def release() -> None:
    """Let the held answers be finished."""
    _open.set()


def fail(name: str, *errors: Exception | None) -> None:
    """Let the next calls of this name fail, one for each error; None lets one pass. Failed calls are counted too."""
    _failures[name] += errors


def forget() -> None:
    """Begin anew: nothing was called, nothing was paid, nothing fails."""
    for memory in (calls, paid, stored, peak, _references, _failures):
        memory.clear()
    release()


def asked(name: str) -> list[Any]:
    """What every call of this name was asked, in order."""
    return [what for called, what in calls if called == name]


def _call(name: str, what: Any) -> None:
    calls.append((name, what))
    logger.info("outside: %s(%r), call %d of it", name, what, len(asked(name)))
    if os.environ.get("BREAK") == name:
        raise ConnectionError(f"{name} is broken on purpose")
    if _failures[name] and (error := _failures[name].pop(0)):
        raise error


def tokens() -> int:
    """What the model has read so far and has to be paid for, a word for a token."""
    return sum(len(prompt.split()) for prompt in asked("ask_model"))


async def ask_model(prompt: str) -> str:
    """The model: slow, costly, and never the same answer twice."""
    _call("ask_model", prompt)
    return f"answer {len(asked('ask_model'))} to: {prompt}"


async def look_up(customer_id: str) -> dict[str, str]:
    """The customer database."""
    _call("look_up", customer_id)
    tiers = {"cust_001": "enterprise", "cust_002": "pro", "cust_003": "pro"}
    return {"id": customer_id, "tier": tiers.get(customer_id, "standard")}


async def read_mail(message_id: str) -> str:
    """The mailbox: what a customer has written."""
    _call("read_mail", message_id)
    return f"{message_id} from Grace Hopper, grace@example.com: I was charged twice."


async def send_mail(to: str, text: str) -> None:
    """The mailbox: what is sent is sent."""
    _call("send_mail", (to, text))


async def note_failure(function_id: str, run_id: str, error: str) -> None:
    """The list of what a person has to look after."""
    _call("note_failure", (function_id, run_id, error))


async def tell_team(text: str) -> None:
    """The support team's chat."""
    _call("tell_team", text)


async def pay(order_id: str, cents: int, key: str | None = None) -> str:
    """The bank: pays at every call, unless it has seen the key before. Returns its reference.

    Raises DeclinedError for an order that is called "declined".
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
    """An answer that takes a moment to write, or until `release`: `busy` and `peak` tell how many are at it."""
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


async def store(rows: dict[str, Any]) -> int:
    """The database: one call, however many rows; a key it holds already changes nothing. Returns how many were new."""
    _call("store", rows)
    new = {key: row for key, row in rows.items() if key not in stored}
    stored.update(new)
    return len(new)


async def audit(what: str, outcome: str, decided_by: str) -> None:
    """The audit trail: what became of something, and who decided so."""
    _call("audit", (what, outcome, decided_by))
