"""The stand-ins as a package of their own: it holds and declares what it imports, and nothing of the reference app."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.test_imports import reached
from tests.unit.test_project import MODULES, ROOT, declared, imports, tops

WHEEL = tomllib.loads((ROOT / "offline" / "pyproject.toml").read_text())
NAMES = WHEEL["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
PACKED = [path for path in MODULES if path.parts[0] == "offline" and path.parts[1] in NAMES]
EXTRAS = WHEEL["project"]["optional-dependencies"]
NEEDED = {
    canonicalize_name(requirement.name): requirement
    for text in [*WHEEL["project"]["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    if (requirement := Requirement(text)).name != "inngest-stand-in"
}


def test_the_wheel_holds_whatever_its_files_import() -> None:
    missing = {str(file) for path in PACKED for file in reached(path) if file not in PACKED}
    # The verbs of the reference app, which are only imported in its folder.
    verbs = {"offline/demo/__init__.py", "offline/dev.py", "offline/kit.py"}
    assert verbs <= missing
    by_others = {str(file) for path in PACKED if path.name != "__main__.py" for file in reached(path)}
    assert by_others <= {str(path) for path in PACKED}


def test_the_wheel_declares_whatever_its_files_import() -> None:
    distributions = importlib.metadata.packages_distributions()
    undeclared: set[str] = set()
    for path in PACKED:
        for name in tops(imports(path)) - sys.stdlib_module_names - {"__future__", "offline"}:
            if not NEEDED.keys() & {canonicalize_name(each) for each in distributions.get(name, [])}:
                undeclared.add(f"{path}: {name}")
    assert undeclared == set()


def test_the_engine_alone_needs_no_extra() -> None:
    # What is imported only when its extra is installed.
    optional = {
        Path("offline/inngest_server/views") / name for name in ("mcp.py", "mcp_docs.py", "mcp_tools.py", "graphql.py")
    }
    plain = {
        canonicalize_name(Requirement(text).name) for text in [*WHEEL["project"]["dependencies"], *EXTRAS["pytest"]]
    }
    starts = (Path("offline/inngest_server/__main__.py"), Path("offline/pytest_plugin.py"))
    alone = {path for start in starts for path in (start, *reached(start))} - optional
    distributions = importlib.metadata.packages_distributions()
    for path in alone:
        for name in tops(imports(path)) - sys.stdlib_module_names - {"__future__", "offline"}:
            assert plain & {canonicalize_name(each) for each in distributions.get(name, [])}, f"{path}: {name}"


def test_the_wheel_asks_for_the_versions_with_which_the_project_is_tested() -> None:
    tested = declared("offline", "dev")
    assert {name: str(tested[name].specifier) for name in NEEDED} == {
        name: str(requirement.specifier) for name, requirement in NEEDED.items()
    }


def test_the_wheel_has_its_licence_and_every_file_that_it_names() -> None:
    assert (ROOT / "offline" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert [name for name in NAMES if not (ROOT / "offline" / name).exists()] == []
    assert Path("offline/inngest_server/views/page.py") in PACKED
