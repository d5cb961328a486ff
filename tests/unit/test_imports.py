"""Which files may import which: no cycles, and the layers of the stand-in engine. Nothing needs to run for this."""

import ast
import functools
from pathlib import Path

import pytest

from tests.unit.test_project import MODULES, imports, tree_of

ENGINE = Path("offline/inngest_server")


def file_of(name: str) -> Path | None:
    """The project's file that is imported under this dotted name."""
    base = Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path in MODULES), None)


@functools.cache
def imported(path: Path) -> set[Path]:
    """The project's files that a file imports, those for type checking and those inside functions included."""
    return {file for name in imports(path) if (file := file_of(name)) is not None}


def reached(path: Path) -> set[Path]:
    """The files that a file imports by itself and through others."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        new = imported(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def within(folder: Path) -> list[Path]:
    files = [path for path in MODULES if folder in path.parents]
    assert files
    return files


def views() -> list[Path]:
    """The files in `views` that serve something; a list of tools is none."""
    return [path for path in within(ENGINE / "views") if "starlette" in MODULES[path].read_text()]


ROOMS = sorted({path.parts[0] for path in MODULES} - {"tests"})


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_imports_itself_through_others(room: str) -> None:
    assert {str(path) for path in MODULES if path.parts[0] == room and path in reached(path)} == set()


def test_the_engines_core_knows_no_layer_above_it() -> None:
    core = set(within(ENGINE / "core"))
    assert {str(path): reached(path) - core for path in core if reached(path) - core} == {}


def test_the_engines_service_knows_no_view() -> None:
    above = {*within(ENGINE / "views"), *within(ENGINE / "api_v2"), ENGINE / "server.py"}
    assert reached(ENGINE / "service.py") & above == set()


@pytest.mark.parametrize("view", views(), ids=lambda path: path.stem)
def test_a_view_knows_the_service_and_no_other_view(view: Path) -> None:
    others = {*views(), ENGINE / "server.py", ENGINE / "core/engine.py"}
    assert imported(view) & others == set()
    assert ENGINE / "service.py" in imported(view)
    asked = {ast.unparse(node) for node in ast.walk(tree_of(view)) if isinstance(node, ast.Attribute)}
    assert {text for text in asked if text.endswith(".engine")} == set()
