"""Translates between the tools of any build and the two that the rule-based model knows.

A learner's build may call its tools `get_customer` and `refund_order`, with other arguments than the reference app's.
The tools are recognised by words in their names and arguments. Arguments are filled in as their JSON schema wants them.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from agents import FunctionTool
from agents.tool_context import ToolContext

from offline.rules import LOOK_UP, REFUND

Json = Any
Object = dict[str, Any]

READS = re.compile(r"^(get|list|find|look|fetch|check)")
CUSTOMER = re.compile(r"customer|account|user|look_?up", re.I)
WHO = re.compile(r"\bcust_\w+|[\w.+-]+@[\w-]+\.[\w.]+")
NO = re.compile(r"\bnot?\b|n't|block|reject|denied|declin|expire|error|fail|refus|pending|cannot|false")
YES = re.compile(r"issued|refunded|success|complete|processed|approved|done|\bok\b|true")


class Toolbox:
    """The function tools of one request. `conversation` is the text in which an argument may be found."""

    def __init__(self, tools: list[Object], conversation: str) -> None:
        self._schemas: dict[str, Object] = {tool["name"]: tool.get("parameters") or {} for tool in tools}
        self._conversation = conversation
        self._refund = self._named(REFUND, lambda name: "refund" in name.lower() and not READS.match(name.lower()))
        self._lookup = self._named(LOOK_UP, lambda name: name != self._refund and bool(CUSTOMER.search(name)))

    def tools(self) -> list[FunctionTool]:
        """Return the tools under the names that the rules know."""
        return [
            FunctionTool(self._known_name(name), "", schema, _never_called, strict_json_schema=False)
            for name, schema in self._schemas.items()
        ]

    def understood(self, items: list[Object]) -> list[Object]:
        """Return a conversation in which earlier calls and their outputs are as the rules expect them."""
        calls = {item["call_id"]: item for item in items if item.get("type") == "function_call"}
        return [self._understood(item, calls) for item in items]

    def call(self, name: str, arguments: str) -> tuple[str, str]:
        """Return the tool's own name and the arguments that its schema asks for.

        What a misbehaviour sends on purpose (no JSON, a tool that nobody has) is returned as it is.
        """
        own = self._own_name(name)
        schema, given = self._schemas.get(own, {}), _object(arguments)
        if given is None or set(schema.get("required", [])) <= given.keys():
            return own, arguments
        wanted = {key: schema.get("properties", {}).get(key, {}) for key in schema["required"]}
        fitted = {key: given[key] if key in given else self._fill(key, spec, given) for key, spec in wanted.items()}
        return own, json.dumps(fitted)

    def filled(self, schema: Object, text: str) -> str:
        """Return JSON that fulfils the schema of a structured output, with `text` wherever it asks for a text."""
        return json.dumps(fill(schema, lambda _name, spec: text if spec.get("type") == "string" else None))

    def _named(self, known: str, fits: Callable[[str], bool]) -> str | None:
        return known if known in self._schemas else next(filter(fits, self._schemas), None)

    def _known_name(self, name: str) -> str:
        if name == self._refund:
            return REFUND
        return LOOK_UP if name == self._lookup else name

    def _own_name(self, name: str) -> str:
        if name == REFUND:
            return self._refund or name
        return self._lookup or name if name == LOOK_UP else name

    def _understood(self, item: Object, calls: dict[str, Object]) -> Object:
        call = calls.get(item.get("call_id") or "")
        if call is None:
            return item
        name = self._known_name(call["name"])
        arguments = self._asked(call) if name == REFUND else call["arguments"]
        if item is call:
            return call | {"name": name, "arguments": arguments}
        output = item["output"] if isinstance(item["output"], str) else json.dumps(item["output"])
        if name == REFUND:
            output = refund_result(output, _object(arguments) or {})
        elif name == LOOK_UP:
            output = _customer(output)
        return item | {"output": output}

    def _asked(self, call: Object) -> str:
        """Return a refund's arguments under the names that the rules know."""
        given = _object(call["arguments"])
        if given is None or "order_id" in given:
            return str(call["arguments"])
        asked: Object = {}
        properties = self._schemas.get(call["name"], {}).get("properties", {})
        for name, value in given.items():
            if _is_amount(name) and isinstance(value, int | float):
                asked["amount_cents"] = round(value if _in_cents(name, properties.get(name, {})) else value * 100)
            else:
                asked["order_id" if _is_order(name) else name] = value
        return json.dumps(asked)

    def _fill(self, name: str, spec: Object, given: Object) -> Json:
        def known(key: str, spec: Object) -> Json:
            if _is_amount(key) and "amount_cents" in given:
                cents: int = given["amount_cents"]
                return cents if _in_cents(key, spec) else cents / 100
            if _is_order(key) and "order_id" in given:
                return given["order_id"]
            if key.lower() == "currency":
                return "usd"
            if re.search("customer|user|account|email|^id$", key, re.I):
                found = WHO.findall(self._conversation)
                preferred = [who for who in found if ("@" in who) == ("email" in key.lower())]
                return next(iter(preferred + found), "unknown")
            return str(given.get("reason", "")) if spec.get("type") == "string" else None

        return fill(spec, known, name)


def fill(schema: Object, known: Callable[[str, Object], Json], name: str = "", root: Object | None = None) -> Json:
    """Return a value that fulfils a JSON schema: what `known` has for a property, or else the simplest value."""
    if isinstance(schema, bool):
        schema = {}
    root = root or schema
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
    if "enum" in schema or "const" in schema:
        return schema.get("const", next(iter(schema.get("enum", [])), None))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return fill(choices[0], known, name, root)
    kind = schema.get("type")
    if kind == "object":
        return {key: fill(spec, known, key, root) for key, spec in schema.get("properties", {}).items()}
    value = known(name, schema)
    if value is not None:
        return value
    if kind == "array":
        return []
    if kind == "boolean":
        return False
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return "" if kind == "string" else None


def refund_result(output: str, asked: Object) -> str:
    """Return what became of a refund as the rules expect it. A text counts as issued only if nothing in it says no."""
    found = _object(output) or {}
    if "status" in found and (found["status"] == "issued" or found.keys() & {"why", "note"}):
        return output
    said = output.lower().replace(str(asked.get("reason") or "\0").lower(), "")
    issued = YES.search(said) is not None and NO.search(said) is None
    if issued:
        return json.dumps(asked | {"status": "issued"})
    return json.dumps(asked | {"status": "blocked", "why": "" if found else output})


def _customer(output: str) -> str:
    """Return the customer as an object, from an object, a list of rows or a text in which an email address stands."""
    found = _object(output) or {}
    refunds = found.get("refunds")
    if not isinstance(refunds, list) or not all(isinstance(row, dict) and "order_id" in row for row in refunds):
        found["refunds"] = []
    if not found.get("email"):
        found["email"] = next((who for who in WHO.findall(output) if "@" in who), "")
    return json.dumps(found)


def _is_order(name: str) -> bool:
    return re.search("order|charge|invoice|payment", name, re.I) is not None


def _is_amount(name: str) -> bool:
    return re.search("amount|cents|usd|dollars", name, re.I) is not None


def _in_cents(name: str, spec: Object) -> bool:
    return "cent" in name.lower() or spec.get("type") == "integer"


def _object(text: str) -> Object | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


async def _never_called(_context: ToolContext[Any], _arguments: str) -> str:
    raise NotImplementedError("the model only names tools; the program that asked it runs them")
