"""Checks requests before they are read, and refuses them as OpenAI does, with its `param`, `code` and words."""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

Json = Any
Object = dict[str, Any]

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
KINDS: dict[type, str] = {
    str: "a string",
    list: "an array",
    dict: "an object",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
}


class ApiError(Exception):
    """A refusal in OpenAI's shape, with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers or {}


def check_response(body: Object) -> None:
    """Check what `/v1/responses` reads. Raises ApiError."""
    _field(body, "", "model", str, required=True)
    for name in ("instructions", "previous_response_id"):
        _field(body, "", name, str)
    shape = _field(body, "", "text", dict) or {}
    wanted = _field(shape, "text", "format", dict) or {}
    _check_schema(_field(wanted, "text.format", "schema", dict), "text.format.schema")
    for tool, at in _objects(body, "", "tools"):
        if tool.get("type") == "function":
            _check_function(tool, at)
    if isinstance(_field(body, "", "input", str, list, required=True), str):
        return
    for item, at in _objects(body, "", "input"):
        _check_content(item, at)
        _field(item, at, "call_id", str)
        if item.get("type") == "function_call":
            _check_call(item, at, "call_id", item, at)
        if item.get("type") == "function_call_output":
            _field(item, at, "call_id", str, required=True)
            _field(item, at, "output", str, list, required=True)


def check_chat(body: Object) -> None:
    """Check what `/v1/chat/completions` reads. Raises ApiError."""
    _field(body, "", "model", str, required=True)
    _field(body, "", "stream_options", dict)
    shape = _field(body, "", "response_format", dict) or {}
    wanted = _field(shape, "response_format", "json_schema", dict) or {}
    _check_schema(_field(wanted, "response_format.json_schema", "schema", dict), "response_format.json_schema.schema")
    for tool, at in _objects(body, "", "tools"):
        function = _field(tool, at, "function", dict)
        if function is not None:
            _check_function(function, f"{at}.function")
    if not _field(body, "", "messages", list, required=True):
        words = "empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise ApiError(400, f"Invalid 'messages': {words}", "empty_array", "messages")
    for message, at in _objects(body, "", "messages"):
        role = _field(message, at, "role", str, required=True)
        if role not in ROLES:
            known = ", ".join(f"'{each}'" for each in ROLES)
            text = f"Invalid value: '{role}'. Supported values are: {known}."
            raise ApiError(400, text, "invalid_value", f"{at}.role")
        _check_content(message, at)
        if role == "tool":
            _field(message, at, "tool_call_id", str, required=True)
        for call, call_at in _objects(message, at, "tool_calls"):
            function = _field(call, call_at, "function", dict, required=True)
            _check_call(call, call_at, "id", function, f"{call_at}.function")


def _check_content(message: Object, at: str) -> None:
    if isinstance(_field(message, at, "content", str, list), list):
        for part, part_at in _objects(message, at, "content"):
            _field(part, part_at, "text", str)


def _check_function(function: Object, at: str) -> None:
    _field(function, at, "name", str, required=True)
    _check_schema(_field(function, at, "parameters", dict), f"{at}.parameters")


def _check_schema(schema: Object | None, at: str) -> None:
    try:
        Draft202012Validator.check_schema(schema or {})
    except SchemaError as error:
        raise ApiError(400, f"Invalid schema for '{at}': {error.message}", "invalid_schema", at) from error


def _check_call(call: Object, at: str, id_name: str, function: Object, function_at: str) -> None:
    _field(call, at, id_name, str, required=True)
    _field(function, function_at, "name", str, required=True)
    _field(function, function_at, "arguments", str, required=True)


def _field(parent: Object, at: str, name: str, *kinds: type, required: bool = False) -> Json:
    """Return a field of the object at a path; null counts as missing.

    Raises ApiError if the field is missing although it is required, or if it is of none of the kinds.
    """
    path = f"{at}.{name}" if at else name
    value = parent.get(name)
    if value is None:
        if required:
            raise ApiError(400, f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
    elif type(value) not in kinds:
        raise _wrong_type(path, value, *kinds)
    return value


def _objects(parent: Object, at: str, name: str) -> Iterator[tuple[Object, str]]:
    """Return each object of a list with its path. Raises ApiError if it is no list, or if something else is in it."""
    path = f"{at}.{name}" if at else name
    for number, item in enumerate(_field(parent, at, name, list) or []):
        if not isinstance(item, dict):
            raise _wrong_type(f"{path}[{number}]", item, dict)
        yield item, f"{path}[{number}]"


def _wrong_type(path: str, value: Json, *kinds: type) -> ApiError:
    expected = " or ".join(KINDS[kind] for kind in kinds)
    got = KINDS.get(type(value), "null")
    return ApiError(
        400, f"Invalid type for '{path}': expected {expected}, but got {got} instead.", "invalid_type", path
    )
