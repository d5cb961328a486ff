"""How the rule-based model reads an email, and what a good support model does about it.

Every function here depends only on what the model is shown: the email, the tools that it may use, and the outputs of
its earlier calls. `offline/model.py` gives it the SDK's interface, and `offline/misbehaviour.py` makes it go wrong.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agents import Tool

LOOK_UP, REFUND = "lookup_customer", "issue_refund"

_NUMBER = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
_UNIT = r"[$€£]|(?:USD|EUR|GBP|dollars?|euros?|pounds?|cents?)\b"
_MONEY = re.compile(rf"(?<![-\d])(?:([$€£]|\b(?:USD|EUR|GBP)\b)\s?({_NUMBER})(?!\d)|({_NUMBER})\s?({_UNIT}))", re.I)
_ID = r"(?:[A-Z]{1,5}-?\d+|\d{3,})\b"
_ORDER = re.compile(
    rf"\b[A-Z]{{1,5}}-\d{{3,}}\b|#\s?{_ID}"
    rf"|\borders?\s+(?:(?:number|numbers|no\.?|nr\.?|id)\s*)?[:#]?\s*{_ID}(?:(?:\s*[,&]\s*|\s+and\s+){_ID})*",
    re.I,
)
_COMPLAINTS = {
    "Duplicate charge": r"(charged|billed|debited|paid|taken)\b[^.!?\n]{0,60}\b(twice|double|two times|again)"
    r"|(double|duplicate|second)[ -](charge|payment|billing|transaction)|double[ -](charged|billed)",
    "Overcharge": r"overcharge|charged (me )?(too much|the wrong)|(wrong|too high) amount|instead of ¤",
    "Failed order": r"(order|payment|checkout)\b[^.!?\n]{0,60}\bfail|failed (order|payment|checkout)"
    r"|(was|were|been|got) charged\b[^.!?\n]{0,60}\bbut|money (was|has been|is) (taken|gone)",
    "Never arrived": r"(?s)\A(?=.*\b(order|parcel|package|shipment|product))"
    r".*?(never|not|n't|n\u2019t)\b[^.!?\n]{0,25}\b(arrive|received?\b|show(ed)? up|been delivered|came|come)",
}
_INJECTION = re.compile(
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instruction|rule|prompt|polic|above)|\bsystem\s*(prompt|message|:)"
    r"|\byou are now\b|\bdeveloper mode\b|\bnew instructions\b|\bact as\b",
    re.I | re.S,
)
_TOPICS = {
    r"password|log ?in|sign ?in|locked out": 'You can set a new password with "Forgot password" on the sign-in page; '
    "the link it mails you works for an hour.",
    r"\bplan\b|upgrade|downgrade|subscription|pricing": "You can change your plan at any time under Settings, Plan; "
    "the change takes effect at once.",
    r"shipping|deliver|tracking|parcel|package": "Parcels usually take three to five working days, and the tracking "
    "link is in your order confirmation.",
    r"invoice|receipt|vat\b": "You find every invoice as a PDF under Settings, Billing.",
    r"thank|great (job|service)|love (it|your)": "Thank you for the kind words, they made our day!",
}


@dataclass(frozen=True)
class Call:
    """A tool call of an earlier turn. `output` is None as long as there is none."""

    name: str
    arguments: str
    output: str | None

    @property
    def result(self) -> dict[str, Any]:
        """The output as a JSON object. It is empty for a plain text, which therefore never counts as a refund."""
        return _object(self.output)


@dataclass(frozen=True)
class Turn:
    """What the model is shown when it is called: the email, the calls so far and the tools it may use."""

    email: str
    calls: Sequence[Call]
    tools: Sequence[Tool]

    def made(self, name: str) -> list[Call]:
        """Return the calls of one tool, in the order in which they were made."""
        return [call for call in self.calls if call.name == name]

    @property
    def customer(self) -> dict[str, Any]:
        """What the lookup has returned, or an empty object before it."""
        return next((_object(call.output) for call in reversed(self.made(LOOK_UP))), {})


@dataclass(frozen=True)
class ToolCall:
    """A call that the model wants to make. If `arguments` is a string, it is sent as it is."""

    name: str
    arguments: dict[str, Any] | str


Answer = str | list[ToolCall]
"""The model's answer to a turn: a reply to the customer, or the calls to make first."""
Behaviour = Callable[[Turn], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Email:
    """What an email says. `claims` holds the amount in cents, or None, for each order that it names."""

    complaint: str | None
    claims: dict[str, int | None]
    amounts: list[int]
    currency: str
    gives_orders: bool

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield the order id and the cents of every claim that has an amount."""
        return ((order, cents) for order, cents in self.claims.items() if cents)


def read_email(text: str) -> Email:
    """Find the complaint, the order ids and the amounts in an email.

    Sentences that give the model orders ("ignore your instructions …") are left out before anything is read.
    """
    sentences = re.split(r"(?<=[.!?;])\s+|\n+", text.strip())
    kept = "\n".join(sentence for sentence in sentences if not _INJECTION.search(sentence))
    money = list(_MONEY.finditer(kept))
    without_money = _MONEY.sub(lambda match: "¤" * len(match[0]), kept)
    complaint = next((name for name, pattern in _COMPLAINTS.items() if re.search(pattern, without_money, re.I)), None)
    orders: dict[str, int] = {}
    for match in _ORDER.finditer(without_money):
        for order in re.findall(_ID, match[0], re.I):
            orders.setdefault(order.upper(), match.start())
    amounts = [(match.start(), _cents(match[2] or match[3], match[4] or "")) for match in money]
    symbol = next((match[1] or match[4] for match in money), "$")
    return Email(
        complaint,
        _pair(orders, amounts, kept),
        [cents for _, cents in amounts],
        _currency(symbol),
        gives_orders=bool(_INJECTION.search(text)),
    )


def _currency(written: str) -> str:
    if written.lower().startswith(("eur", "€")):
        return "€"
    if written.lower().startswith(("gbp", "pound", "£")):
        return "£"
    return "$"


def good(turn: Turn) -> Answer:
    """Do what the agent's instructions say: look up once, ask for each refund once, then say what happened."""
    if turn.email.lower().startswith("health check"):
        return "All is well with your account, have a lovely day!"
    if not turn.made(LOOK_UP) and any(tool.name == LOOK_UP for tool in turn.tools):
        return [ToolCall(LOOK_UP, {})]
    if not turn.tools and (name := _to_be_greeted(turn.email)):
        return f"Hello {name}, how lovely to have you here!"
    email = read_email(turn.email)
    settled = {refund["order_id"] for refund in turn.customer.get("refunds", []) if refund.get("status") == "issued"}
    if email.complaint and not turn.made(REFUND):
        wanted = [refund_call(order, cents, email.complaint) for order, cents in email if order not in settled]
        if wanted:
            return wanted
    return f"{_greeting(turn)} {' '.join(_sentences(turn, email, settled))}"


def refund_call(order_id: str, amount_cents: int, complaint: str) -> ToolCall:
    """Return a call of the refund tool. The amount is in cents."""
    reason = f"{complaint} reported by the customer"
    return ToolCall(REFUND, {"order_id": order_id, "amount_cents": amount_cents, "reason": reason})


def say(cents: int, currency: str = "$") -> str:
    """Write an amount of cents as people do: 4900 becomes $49.00."""
    return f"{currency}{cents / 100:,.2f}"


def _sentences(turn: Turn, email: Email, settled: set[str]) -> Iterator[str]:
    refunds = turn.made(REFUND)
    for call in refunds:
        yield _outcome(call, email.currency)
    asked = {_object(call.arguments).get("order_id") for call in refunds}
    if email.complaint:
        for order in email.claims:
            if order in settled and order not in asked:
                yield f"Our records show that order {order} was already put right earlier."
        if missing := [order for order, cents in email.claims.items() if not cents and order not in settled]:
            yield f"Could you tell me the amount that was charged for order {' and '.join(missing)}?"
        if not email.claims:
            amount = "" if email.amounts else " and the amount"
            yield f"I am sorry about this! Could you tell me the order number{amount}, so that I can look into it?"
    elif email.gives_orders:
        yield "I am sorry, but I cannot do that. If something went wrong with an order, please tell me what happened."
    elif re.search(r"refund|money back", turn.email, re.I):
        yield "I am happy to look into it. Could you tell me what went wrong, with the order number and the amount?"
    elif not refunds:
        default = "Thank you for writing to us! A colleague will look at your question and get back to you soon."
        yield next((text for pattern, text in _TOPICS.items() if re.search(pattern, turn.email, re.I)), default)


def _outcome(call: Call, currency: str) -> str:
    asked, result = _object(call.arguments), call.result
    order = result.get("order_id") or asked.get("order_id", "")
    paid, wanted = result.get("amount_cents"), asked.get("amount_cents")
    if result.get("status") == "issued" and isinstance(paid, int):
        part = f" of the {say(wanted, currency)} you asked for" if isinstance(wanted, int) and paid < wanted else ""
        return f"I am sorry for the trouble! We have refunded {say(paid, currency)}{part} for order {order}."
    # Only its first sentence is quoted. The rest could be about something else and read like a promise.
    why = re.split(r"[.!?](?:\s|$)", str(result.get("why") or result.get("note") or "").strip())[0]
    why = f" ({why})" if why else ""
    return f"I am sorry, no money could be sent back for order {order}{why}. A colleague will follow up with you."


def _greeting(turn: Turn) -> str:
    name = str(turn.customer.get("email", "")).partition("@")[0]
    return f"Hi {name.capitalize()}," if name.isalpha() else "Hello,"


def _to_be_greeted(text: str) -> str | None:
    """The name in a request such as "Greet Sara", or a text that is a name and nothing else, as in the Quick Win."""
    names = re.findall(r"\b[A-Z][a-z]+\b", text)
    if names and (
        names[0] == text.strip(" .!") or re.search(r"\bgreet|\bwelcome\b|\bsay hello|^I am \w+\W*$", text, re.I)
    ):
        return str(names[-1])
    return None


def _pair(orders: dict[str, int], amounts: list[tuple[int, int]], text: str) -> dict[str, int | None]:
    """Give each order its amount: the only one, the one at the same position in the list, or the nearest one."""
    values = [cents for _, cents in amounts]
    if not values:
        return dict.fromkeys(orders)
    if len(orders) == 1:
        corrected = re.search(r"instead of|rather than|should (have|be|only)", text, re.I) and len(values) > 1
        return dict.fromkeys(orders, abs(values[0] - values[1]) if corrected else values[0])
    if len(values) == 1 and not re.search(r"\beach\b", text, re.I):
        nearest = min(orders, key=lambda order: abs(orders[order] - amounts[0][0]), default=None)
        return {order: values[0] if order == nearest else None for order in orders}
    if len(values) == len(orders):
        return dict(zip(orders, values, strict=True))
    return {order: min(amounts, key=lambda amount: abs(amount[0] - at))[1] for order, at in orders.items()}


def _cents(number: str, unit: str) -> int:
    if unit.lower().startswith("cent"):
        return int(re.sub(r"\D", "", number))
    found = re.fullmatch(r"(.*?)(?:[.,](\d{1,2}))?", number)
    assert found
    whole, fraction = found.groups()
    return int(re.sub(r"\D", "", whole)) * 100 + int((fraction or "").ljust(2, "0"))


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
