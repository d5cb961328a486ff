"""Inngest's expressions: CEL (https://cel.dev), except that a missing field counts as null instead of being an error.

Functions rely on that (`async.data.request_id == null` in a wait), so before each evaluation every path that an
expression names is made to exist. Only `has(…)` sees what is missing, and its negation is never fulfilled, as on the
official server. That server's other leniencies (strings used as booleans, `"a" + 1`) are not imitated: such an
expression counts as not fulfilled, and the log says so.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from typing import Any

import cel

log = logging.getLogger("inngest_server")

_STRING = re.compile(r"""r?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_PATH = re.compile(r"\b(event|async)((?:\.[A-Za-z_]\w*|\[\s*§\d+\s*\])+)(\s*\()?")
_HAS = re.compile(r"(!\s*)?\bhas\s*\([^()]*\)")
_PART = re.compile(r"\.([A-Za-z_]\w*)|§(\d+)")


class InvalidExpressionError(ValueError):
    """The text is not a CEL expression; the message says where."""


class Expression:
    """One compiled expression. `compile_expression` makes it, and keeps it for the next time."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            cel.compile(text)
            self._program = cel.compile(_without_negated_has(text))
        except Exception as error:
            raise InvalidExpressionError(f"invalid expression: {error}") from error
        self._paths = _paths(text)

    def evaluate(self, context: dict[str, Any]) -> Any:
        """The value over `event` (and `async`). Raises `ValueError` when the types do not fit together."""
        try:
            return self._program.execute(self._filled(context, None))
        except Exception as error:
            try:
                # Null cannot be ordered. The official server counts what is missing as less than anything.
                return self._program.execute(self._filled(context, -math.inf))
            except Exception:
                raise ValueError(f"{self.text}: {error}") from error

    def _filled(self, context: dict[str, Any], missing: float | None) -> dict[str, Any]:
        for path in self._paths:
            context = _with_path(context, path, missing)
        return context

    def holds(self, context: dict[str, Any]) -> bool:
        """Whether it is true; an expression that cannot be evaluated is not."""
        try:
            return self.evaluate(context) is True
        except ValueError as error:
            log.warning("expression not fulfilled: %s", error)
            return False


@functools.cache
def compile_expression(text: str) -> Expression:
    """Compile a text once. Raises `InvalidExpressionError`."""
    return Expression(text)


def holds(text: str | None, context: dict[str, Any]) -> bool:
    """Whether an expression is fulfilled. An absent one always is; one that does not compile never is."""
    if not text:
        return True
    try:
        return compile_expression(text).holds(context)
    except InvalidExpressionError as error:
        log.warning("%s", error)
        return False


def key_of(text: str | None, event: dict[str, Any]) -> str:
    """The value of a flow control key as text; without a key it is the same for all events."""
    if not text:
        return ""
    try:
        return repr(compile_expression(text).evaluate({"event": event}))
    except ValueError as error:
        log.warning("key not evaluated: %s", error)
        return "!"


def _stash_strings(text: str) -> tuple[str, list[str]]:
    """The text with a numbered mark (`§0`) in place of each string literal, and the literals."""
    strings: list[str] = []

    def stash(match: re.Match[str]) -> str:
        strings.append(match.group(0))
        return f"§{len(strings) - 1}"

    return _STRING.sub(stash, text), strings


def _without_negated_has(text: str) -> str:
    """The text with `false` in place of each `!has(…)`."""
    bare, strings = _stash_strings(text)
    bare = _HAS.sub(lambda match: "false" if match.group(1) else match.group(0), bare)
    return re.sub(r"§(\d+)", lambda match: strings[int(match.group(1))], bare)


def _paths(text: str) -> list[tuple[str, ...]]:
    """Every path below `event` and `async` that the text names outside `has(…)`."""
    bare, strings = _stash_strings(text)
    found: list[tuple[str, ...]] = []
    for root, rest, call in _PATH.findall(_HAS.sub("", bare)):
        parts = [name or strings[int(number)].lstrip("r")[1:-1] for name, number in _PART.findall(rest)]
        if call:
            parts.pop()  # The last name is a method, such as startsWith, and no field.
        found.append((root, *parts))
    return found


def _with_path(tree: dict[str, Any], path: tuple[str, ...], missing: float | None) -> dict[str, Any]:
    """The tree, or where `path` does not exist in it, a copy in which `path` leads to `missing`."""
    head, *rest = path
    if not rest:
        return tree if head in tree else {**tree, head: missing}
    child = tree.get(head)
    if child is None:
        return {**tree, head: _with_path({}, tuple(rest), missing)}
    if not isinstance(child, dict):
        return tree
    new = _with_path(child, tuple(rest), missing)
    return tree if new is child else {**tree, head: new}
