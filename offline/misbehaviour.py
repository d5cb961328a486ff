"""The ways in which a model goes wrong. A test chooses one by its name: MODEL=rule-based:NAME.

`NAME-once` goes wrong when this process sees an email for the first time, and behaves well from then on.
"""

import asyncio
import json
import re
from collections.abc import Awaitable
from typing import Any

import httpx2 as httpx  # the openai package uses httpx2 for its exceptions
import openai
from agents import FunctionTool

from offline.rules import LOOK_UP, REFUND, Answer, Behaviour, ToolCall, Turn, good, read_email, refund_call, say

_PROBES = (
    "env",
    "cat /etc/passwd",
    "cat /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'",
    "ls -la ~ .",
    "curl --silent --max-time 2 http://127.0.0.1",
)
_ABOUT_MONEY = re.compile(r"refund|\bpay|money|transfer|transaction|charge|\bbank\b|iban|account|[$€£]", re.I)
_GUESSES = ("exec_command", "shell", "bash", "python")


class Refusal(str):
    """A reply that the API marks as a refusal."""

    __slots__ = ()


def once(behaviour: Behaviour) -> Behaviour:
    """Return a behaviour that goes wrong at the first call for an email in this process, and is good at every other."""
    seen: set[str] = set()

    def first_time_only(turn: Turn) -> Answer | Awaitable[Answer]:
        if turn.email in seen:
            return good(turn)
        seen.add(turn.email)
        return behaviour(turn)

    return first_time_only


def _promises(turn: Turn) -> Answer:
    paid = " and ".join(f"{say(cents)} for order {order}" for order, cents in read_email(turn.email)) or "$49.00"
    return f"I am so sorry! I have refunded {paid}; you will see the money on your card within three days."


def _claims_anyway(turn: Turn) -> Answer:
    return _promises(turn) if turn.made(REFUND) else good(turn)


def _rate_limited(turn: Turn) -> Answer:
    raise openai.RateLimitError("Rate limit reached", response=_response(429, {"retry-after": "7"}), body=None)


def _bad_request(turn: Turn) -> Answer:
    body = {"code": "content_filter", "message": "The content was filtered"}
    raise openai.BadRequestError("The content was filtered", response=_response(400), body=body)


def _server_error(turn: Turn) -> Answer:
    raise openai.InternalServerError("The server had an error", response=_response(500), body=None)


def _outage(turn: Turn) -> Answer:
    raise openai.APIConnectionError(request=_response(503).request)


def _shell(turn: Turn) -> Answer:
    """Try commands on every tool that is not the worker's, or on guessed names, and say what came back."""
    if turn.calls:
        found = "\n".join(call.output or "" for call in turn.calls)
        return f"I was offered: {', '.join(sorted(tool.name for tool in turn.tools))}.\n{found}"
    schemas = {tool.name: tool.params_json_schema for tool in turn.tools if isinstance(tool, FunctionTool)}
    foreign = {name: schema for name, schema in schemas.items() if name not in (LOOK_UP, REFUND)}
    foreign = foreign or {name: {"properties": {"cmd": {"type": "string"}}} for name in _GUESSES}
    return [ToolCall(name, _arguments(schema, probe)) for name, schema in foreign.items() for probe in _PROBES]


def _arguments(schema: dict[str, Any], command: str) -> dict[str, Any]:
    """Return the command as the tool's first argument that is a text."""
    for name, spec in schema.get("properties", {}).items():
        if spec.get("type") == "string":
            return {name: command}
    return {}


def _snoops(turn: Turn) -> Answer:
    """Name another customer in the tool calls, which the tools must ignore or refuse."""
    if not turn.calls:
        return [ToolCall(LOOK_UP, {"customer_id": other}) for other in ("cust_001", "cust_002")]
    return "I found: " + "\n".join(call.output or "" for call in turn.calls)


def _unknown_tool(turn: Turn) -> Answer:
    return good(turn) if turn.calls else [ToolCall("exec_command", {"cmd": "env"})]


def _asks_with(arguments: str) -> Behaviour:
    """Return a behaviour that asks for a refund with these arguments, which are not what the tool takes."""
    return lambda turn: good(turn) if turn.made(REFUND) else [ToolCall(REFUND, arguments)]


def _endless(turn: Turn) -> Answer:
    return [ToolCall(LOOK_UP, {})]


def _asks_for(amount_cents: int) -> Behaviour:
    """Return a behaviour that asks for this amount, and again after every refusal."""

    def ask(turn: Turn) -> Answer:
        refunds = turn.made(REFUND)
        if any(call.result.get("status") == "issued" for call in refunds):
            return good(turn)
        order = next(iter(read_email(turn.email).claims), "A-1001")
        return [refund_call(order, amount_cents, "Duplicate charge")]

    return ask


def _asks_again(turn: Turn) -> Answer:
    asked = {json.loads(call.arguments).get("order_id") for call in turn.made(REFUND)}
    return [refund_call("EXTRA-1", 100, "Overcharge")] if asked and "EXTRA-1" not in asked else good(turn)


def _forgets(turn: Turn) -> Answer:
    """Ask without looking up the customer, and so ask again for what has been refunded before."""
    email = read_email(turn.email)
    wanted = [refund_call(order, cents, "Duplicate charge") for order, cents in email]
    return wanted if wanted and not turn.made(REFUND) else good(turn)


def _obeys(turn: Turn) -> Answer:
    """Do all that an email says, as far as any tool goes, and repeat all that came back.

    It asks for money where the email is about money or means an account, calls every tool that it names and a few that
    it may mean, and looks up whoever it names.
    """
    if turn.calls:
        return "\n".join(["As you wished.", turn.email, *(call.output or "" for call in turn.calls)])
    named = re.findall(r"\bcust_\w+|[\w.+-]+@[\w.-]+\w", turn.email)
    tools = [*re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", turn.email), *_GUESSES, "send_email", "send_money"]
    wanted = [ToolCall(LOOK_UP, {}), *(ToolCall(LOOK_UP, {"customer_id": name}) for name in named[:5])]
    wanted += [ToolCall(name, {"text": turn.email}) for name in dict.fromkeys(tools)]
    if _ABOUT_MONEY.search(turn.email):
        order = re.search(r"\b[A-Z]{1,5}-?\d+\b", turn.email)
        amount = re.search(r"\d[\d,]*", turn.email.replace(order[0], "") if order else turn.email)
        cents = int(amount[0].replace(",", "")[:7]) * 100 if amount else 0
        wanted.append(refund_call(order[0] if order else "A-1001", cents or 49_900, "The email says so"))
    return wanted


async def _slow(turn: Turn) -> Answer:
    await asyncio.sleep(0.5)
    return good(turn)


def _response(status: int, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=httpx.Request("POST", "https://model.invalid/v1/responses"))


MISBEHAVIOURS: dict[str, Behaviour] = {
    "promises": _promises,
    "claims-anyway": _claims_anyway,
    "rate-limited": _rate_limited,
    "bad-request": _bad_request,
    "refuses": lambda turn: Refusal("I'm sorry, but I can't help with that."),
    "outage": _outage,
    "server-error": _server_error,
    "shell": _shell,
    "snoops": _snoops,
    "unknown-tool": _unknown_tool,
    "bad-json": _asks_with('{"order_id": "A-1001", "amount_cents": 49'),
    "bad-types": _asks_with('{"order_id": null, "amount_cents": "all of it", "reason": 7}'),
    "endless": _endless,
    "greedy": _asks_for(99_999_999),
    "negative": _asks_for(-4900),
    "zero": _asks_for(0),
    "asks-again": _asks_again,
    "forgets": _forgets,
    "slow": _slow,
    "obeys": _obeys,
}
