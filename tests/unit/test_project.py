"""The house rules of the project, read from its files. Runs without a database, an engine or a network."""

import ast
import functools
import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IGNORED = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}


def files() -> Iterator[Path]:
    """The project's files, without a look into what Git ignores: a virtual environment has thousands."""
    for where, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in IGNORED]
        yield from (Path(where, name) for name in names if name not in IGNORED)


FILES = sorted(files())
MODULES = {path.relative_to(ROOT): path for path in FILES if path.suffix == ".py"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
RUNTIME_LOCK = (ROOT / "deploy" / "requirements-runtime.lock").read_text()
# What a deployed worker consists of, as opposed to what surrounds it.
# What reads a variable by its name, in settings.py and elsewhere.
READERS = {"os.environ.get", "os.environ.pop", "os.getenv", "_text", "_whole_number", "_link"}
BY_THE_SDKS = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY"}
BY_THE_SDKS |= {"INNGEST_SIGNING_KEY_FALLBACK", "INNGEST_ENV", "INNGEST_STREAMING", "FORWARDED_ALLOW_IPS"}
SURROUNDINGS = {"offline", "tests", "gates", "evals"}


@functools.cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@functools.cache
def imports(path: Path) -> set[str]:
    """The dotted names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parts[: len(path.parts) - node.level]) if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def reachable(path: Path) -> set[str]:
    """The dotted names that a module imports by itself and through the project's other modules."""
    names: set[str] = set()
    waiting = [path]
    while waiting:
        new = imports(waiting.pop()) - names
        names |= new
        files = [Path(*name.split(".")) for name in new]
        waiting += [
            file for base in files for file in (base.with_suffix(".py"), base / "__init__.py") if file in MODULES
        ]
    return names


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def in_production() -> Iterator[Path]:
    return (path for path in MODULES if path.parts[0] not in SURROUNDINGS)


@pytest.mark.parametrize("name", ["db.py", "worker.py"])
def test_the_worker_and_its_database_know_nothing_of_the_engine(name: str) -> None:
    assert tops(reachable(Path(name))) & {"inngest", "inngest_app"} == set()


@pytest.mark.parametrize(("room", "importers"), [("offline", {"tests", "evals"}), ("evals", {"tests"})])
def test_nothing_of_the_app_imports_what_only_surrounds_it(room: str, importers: set[str]) -> None:
    importing = {path.parts[0] for path in MODULES if room in tops(imports(path))}
    assert importing - importers <= {room}


@pytest.mark.parametrize("room", ["refunds", "web", "outbound", "people"])
def test_the_rooms_around_the_engine_know_nothing_of_it(room: str) -> None:
    files = [path for path in MODULES if path.parts[0] == room]
    assert files
    assert {str(path) for path in files if tops(reachable(path)) & {"inngest", "inngest_app"}} == set()


@pytest.mark.parametrize(("name", "lines"), [("db.py", 200), ("worker.py", 200), ("inngest_app.py", 300)])
def test_the_heart_can_be_read_in_one_sitting(name: str, lines: int) -> None:
    length = len((ROOT / name).read_text().splitlines())
    assert length <= lines


def declared(*groups: str) -> dict[str, Requirement]:
    """The requirements of the project and of dependency groups, by normalized name."""
    lists = [PROJECT["project"]["dependencies"], *(PROJECT["dependency-groups"][group] for group in groups)]
    requirements = [Requirement(text) for texts in lists for text in texts]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_every_third_party_import_is_declared_where_it_is_needed() -> None:
    local = {path.parts[0].removesuffix(".py") for path in MODULES}
    distributions = importlib.metadata.packages_distributions()
    undeclared: set[str] = set()
    for path in MODULES:
        groups = {
            "offline": ["offline"],
            "gates": ["offline"],
            "tests": ["offline", "dev"],
            "evals": ["offline", "dev"],
        }.get(path.parts[0], [])
        known = declared(*groups)
        for name in tops(imports(path)) - local - sys.stdlib_module_names - {"__future__"}:
            if not known.keys() & {canonicalize_name(each) for each in distributions.get(name, [])}:
                undeclared.add(f"{path}: {name}")
    assert undeclared == set()


def pins(lock: str = LOCK) -> list[Requirement]:
    """What a lock pins; a platform may have a version of its own."""
    return [Requirement(line.rstrip("\\ ")) for line in lock.splitlines() if re.match(r"\w", line)]


def entries(lock: str) -> list[str]:
    """The pins of a lock, each with its hashes."""
    return re.split(r"\n(?=\w)", lock.strip())


def test_the_lock_pins_everything_that_is_declared() -> None:
    pinned = {(canonicalize_name(pin.name), version) for pin in pins() for version in [str(pin.specifier)[2:]]}
    for name, requirement in declared("offline", "dev").items():
        versions = [version for pinned_name, version in pinned if pinned_name == name]
        assert any(requirement.specifier.contains(version) for version in versions), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("lock", [LOCK, RUNTIME_LOCK], ids=["whole", "runtime"])
def test_a_lock_holds_exact_versions_with_hashes_and_nothing_else(lock: str) -> None:
    assert {str(pin) for pin in pins(lock) if not re.fullmatch(r"==[^,*]+", str(pin.specifier))} == set()
    assert len(entries(lock)) == len(pins(lock))
    entry = re.compile(r"[\w.-]+==\S+(?: ; [^\\\n]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\Z))+")
    assert [text.splitlines()[0] for text in entries(lock) if not entry.fullmatch(text)] == []


def test_no_file_names_a_package_registry_or_a_machine() -> None:
    # In pieces, so that this file does not name them either.
    registries = ["py" + "pi", "pythonhosted", "npm" + "js", "yarn" + "pkg", "crates"]
    hosts = rf"(?:{'|'.join(registries)})\.(?:org|io|com)"
    machine = re.compile(rf"{hosts}|(?<![\w.:/])/(?:home|root|Users|work|opt|mnt)/\w")
    found: set[str] = set()
    for path in FILES:
        text = path.read_bytes().decode(errors="replace")
        found |= {f"{path.relative_to(ROOT)}: {match.group()}" for match in machine.finditer(text)}
    assert found == set()


def test_there_is_one_lock_file() -> None:
    others = {"poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml", "package-lock.json"}
    assert {path.name for path in FILES} & others == set()
    assert "uv.lock" in IGNORED


def environment_variables(tree: ast.Module) -> set[str]:
    """The variables a module reads; when it reads one by a name in a variable, every string that looks like a name."""
    keys: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            keys.append(node.slice)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
            keys.append(node.args[0])
    names = {key.value for key in keys if isinstance(key, ast.Constant)}
    if any(not isinstance(key, ast.Constant) for key in keys):
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        names |= {text for text in strings if isinstance(text, str) and re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", text)}
    return {str(name) for name in names}


def test_every_variable_the_app_reads_is_explained_and_no_other() -> None:
    explained: set[str] = set()
    reason = False
    for line in (ROOT / ".env.example").read_text().splitlines():
        variable = re.match(r"(?:# ?)?([A-Z][A-Z0-9_]+)=", line)
        if variable and reason:
            explained.add(variable.group(1))
        elif not variable:
            reason = line.startswith("# ")
    read = {name for path in in_production() for name in environment_variables(tree_of(path))}
    assert explained == read | BY_THE_SDKS


def test_the_app_reads_the_environment_in_one_file() -> None:
    """The shelf is an app of its own."""
    readers = {str(path) for path in in_production() if path.parts[0] != "concepts" and "os.environ" in path_text(path)}
    assert readers == {"settings.py"}


def path_text(path: Path) -> str:
    return ast.unparse(tree_of(path))


def test_nothing_reads_the_environment_in_a_way_this_file_cannot_see() -> None:
    aliased = {str(path) for path in in_production() for name in imports(path) if name in {"os.environ", "os.getenv"}}
    assert aliased == set()
