"""The shelf's table, read as a newcomer would: what it names is there, and what it says to send starts a run."""

import ast
import json
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import inngest
import pytest

import inngest_app
from concepts.app import functions
from tests.concepts.shelf import Shelf

ROOT = Path(__file__).parents[2]
README = (ROOT / "concepts" / "README.md").read_text()
ROW = re.compile(r"\| (?P<concept>[^|]+) \| [^|]+ \| `(?P<file>\w+)\.py` \| `(?P<test>\w+)\.py` \| (?P<start>.+) \|")


@dataclass(frozen=True)
class Row:
    """One row of a table; `start` is an event as JSON, or a function to invoke."""

    concept: str
    file: str
    test: str
    start: str

    @property
    def functions(self) -> list[inngest.Function[Any]]:
        """The functions that the file itself defines."""
        module = import_module(f"concepts.{self.file}")
        found = [value for value in vars(module).values() if isinstance(value, inngest.Function)]
        return [function for function in found if function._handler.__module__ == module.__name__]

    @property
    def invoked(self) -> str | None:
        """The function to invoke; None when there is an event to send."""
        match = re.fullmatch(r"invoke `([\w-]+)`", self.start)
        return match and match[1]

    @property
    def event(self) -> dict[str, Any]:
        """The event to send, copied from its cell."""
        return dict(json.loads(self.start.strip("`")))


ROWS = [Row(**match.groupdict()) for match in map(ROW.fullmatch, README.splitlines()) if match]
of_each_row = pytest.mark.parametrize("row", ROWS, ids=[row.file for row in ROWS])


def test_every_line_of_the_tables_was_understood() -> None:
    lines = [line for line in README.splitlines() if line.startswith("|")]
    assert len(lines) - len(ROWS) == 4  # two heads, two rules


def test_the_fifteen_concepts_stand_in_order() -> None:
    numbers = [int(row.concept.split()[0]) for row in ROWS if row.concept[0].isdigit()]
    assert numbers == list(range(1, 16))


def test_every_file_with_a_function_has_a_row() -> None:
    files = [path.stem for path in (ROOT / "concepts").glob("*.py") if "create_function(" in path.read_text()]
    assert sorted(files) == sorted(row.file for row in ROWS)


def test_every_function_is_served_under_a_name_of_its_own() -> None:
    defined = [function.id for row in ROWS if row.file != "connect" for function in row.functions]
    assert sorted(defined) == sorted(function.id for function in functions)
    assert len(defined) == len(set(defined))


def test_the_shelf_answers_no_event_of_the_worker() -> None:
    """An engine calls every function that listens to a name; only the engine's own events may wake both."""
    shared = events_of(functions) & events_of(inngest_app.functions)
    assert {name for name in shared if not name.startswith("inngest/")} == set()


def events_of(listeners: list[inngest.Function[Any]]) -> set[str]:
    """The names of the events that wake these functions."""
    triggers = [trigger for function in listeners for trigger in function._triggers]
    return {trigger.event for trigger in triggers if isinstance(trigger, inngest.TriggerEvent)}


@of_each_row
def test_a_file_is_read_in_three_minutes_and_says_what_breaks_without_it(row: Row) -> None:
    text = (ROOT / "concepts" / f"{row.file}.py").read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""
    number = row.concept.split()[0]
    assert 40 <= len(text.splitlines()) <= 90
    assert docstring.startswith(f"Concept {number}: " if number.isdigit() else "Beside the concepts: ")
    assert 0 < docstring.find("\nThe failure: ") < docstring.find("\nThe idea: ")


@of_each_row
def test_its_test_is_there(row: Row) -> None:
    assert row.test == f"test_{row.file}"
    assert "def test_" in (ROOT / "tests" / "concepts" / f"{row.test}.py").read_text()


@of_each_row
def test_what_the_row_says_to_send_is_what_a_function_of_the_file_waits_for(row: Row) -> None:
    if row.invoked:
        assert row.invoked in {function.id for function in row.functions}
    else:
        triggers = [trigger for function in row.functions for trigger in function._triggers]
        names = {trigger.event for trigger in triggers if isinstance(trigger, inngest.TriggerEvent)}
        assert row.event.keys() == {"name", "data"}
        assert row.event["name"] in names


@of_each_row
async def test_what_the_row_says_to_send_starts_a_run(row: Row, shelf: Shelf) -> None:
    if row.file == "connect":
        pytest.skip("its own test has the worker that it takes")
    if row.invoked:
        await shelf.invoke(row.invoked)
    else:
        data = row.event["data"]
        if "order_id" in data:
            # An engine remembers for a day which order it had.
            data["order_id"] += f"-{uuid4()}"
        await shelf.send(row.event["name"], data)

    async def begun() -> bool:
        return any([await shelf.runs(function.local_id) for function in row.functions])

    await shelf.until(begun, True)
