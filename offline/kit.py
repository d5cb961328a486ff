"""What a learner takes along: the base to start from, and the state after a Decision.

Both are made from this repository's own files. The state after a Decision is what is left of `inngest_app.py` when the
lines of later ones are cut out, by their marks: `# region D4` to `# endregion D4`, `# D4` at the end of a line, and,
for a line that a Decision replaces, `# before D2: code`. What is marked `beyond` goes beyond the course. All other
files are copied as they are.
"""

import argparse
import ast
import difflib
import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from offline.processes import ROOT

BASE = "ai-agent-nervous-system"
ARCHIVE = f"{BASE}-base.zip"
STAND_INS_SOURCE = ROOT / "offline"
LAST, BEYOND = 6, 7
RULES = ["AGENTS.md", "CLAUDE.md", ".claude", ".mcp.json", "opencode.json", ".gitignore", "LICENSE", "gates"]
SURROUNDINGS = [".env.example", "pyproject.toml", "requirements.lock"]
# What a learner's own build and the gates import. The lock of the base pins these and what they need.
LEARNER = ["asyncpg", "fastapi", "httpx", "inngest", "openai-agents", "python-dotenv", "uvicorn", "watchfiles"]
# The second lock of the base is for learners without accounts: the wheel of the stand-ins, and what only this needs.
STAND_INS, STAND_INS_LOCK = "stand-ins", "stand-ins.lock"
# The base has only the part of .env.example before this line.
OPTIONAL = "# Everything from here on is optional."
# The whole files that each Decision adds. D1 adds inngest_app.py, of which D1 to D5 each keep more lines. The tables of
# what goes beyond the course come along from the start, because the ledger reads some, and a history has no gaps.
ADDED = {
    0: ["migrations", "db.py", "worker.py", "settings.py", "sandbox.py", "refunds"],
    3: ["steps/health_check.py"],
    5: ["steps/approval.py", "steps/saved_state.py", "steps/retries.py", "outbound/chat.py"],
}
# Lines that an edit shows around itself.
CONTEXT = 2
# A fixed date: the same sources give the same archive.
DATE = (2026, 1, 1, 0, 0, 0)
REGION = re.compile(r" *# (end)?region (D\d|beyond)\b")
MARK = re.compile(r".*\S  # (D\d|beyond)$")
TITLE = re.compile(r" *# region D\d: (.*)")
BEFORE = re.compile(r"( *)# before (D\d|beyond): (.*)")
README = """\
# {title}

{what}

1. A virtual environment with Python 3.11 or newer, and `pip install --require-hashes -r requirements.lock`.
{run}
Your coding agent reads AGENTS.md, the skills in `.claude/skills` and the prompts in `.claude/commands` (`/quick-win`,
`/d0` to `/d6`). Whether a Decision is done, `python -m gates d1` says; `python -m gates watch` says it again after each
change, and `python -m gates list` shows where you stand.
"""
PROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = [
{dependencies}]
"""
BASE_README = README.format(
    title="Give your AI agent a nervous system: the base",
    what="Rules, skills, wiring and gates; the store, the worker and its nervous system are what you build.",
    run="""\
2. Give your coding agent the first prompt: `/quick-win`, or paste the course's own.

You need a Neon account, an OpenAI key and Node. Without them, also `pip install --require-hashes -r stand-ins.lock`,
and leave `python -m offline dev` running in a terminal of its own: a real Postgres, a stand-in for the Inngest dev
server with a page on <http://127.0.0.1:8288>, and a model that follows rules. It writes into your `.env` what a build
needs to find them; `--only postgres` stands in for one account alone. Tell your agent that you work without accounts.
""",
)


def level(mark: str) -> int:
    """The Decision that a mark names."""
    return BEYOND if mark == "beyond" else int(mark[1:])


def as_of(source: str, decision: int) -> str:
    """The source as it stands after a Decision. Raises ValueError for regions that do not close."""
    kept: list[str] = []
    regions: list[str] = []
    for line in source.splitlines(keepends=True):
        if found := REGION.match(line):
            closes, mark = found.groups()
            if closes and (not regions or regions.pop() != mark):
                raise ValueError(f"{line.strip()!r} closes no region")
            cut = level(mark) > decision
            regions += [] if closes else [mark]
        elif found := BEFORE.match(line):
            indent, mark, code = found.groups()
            cut = level(mark) <= decision
            line = f"{indent}{code}\n"  # noqa: PLW2901
        else:
            found = MARK.match(line)
            cut = found is not None and level(found[1]) > decision
        if not cut and all(level(mark) <= decision for mark in regions):
            kept.append(line)
    if regions:
        raise ValueError(f"the region {regions[-1]} is not closed")
    return "".join(kept)


def copy(names: list[str], folder: Path) -> None:
    """Copy files and folders of this repository; a link becomes the file that it leads to."""
    for name in names:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)


def write_checkpoint(decision: int, folder: Path) -> None:
    """Write the state after a Decision (0 to 6): rules, worker, and exactly the layers up to it."""
    copy([*RULES, *SURROUNDINGS], folder)
    for number, names in ADDED.items():
        if number <= decision:
            copy(names, folder)
    before = nervous_system(decision - 1, folder)
    after = nervous_system(decision, folder)
    app = "5. The app: `uvicorn inngest_app:app --port 8000 --timeout-keep-alive 300`\n" if decision else ""
    surroundings = (
        "2. `cp .env.example .env`, and put in your `DATABASE_URL` and `OPENAI_API_KEY`.\n"
        "3. Beside it the dev server: `npx inngest-cli@latest dev -u http://127.0.0.1:8000/api/inngest`\n"
    )
    what = f"The worker with the layers of D1 to D{decision}." if decision else "The plain worker, without any engine."
    run = f"{surroundings}4. `python db.py` creates the tables and five customers, or adopts yours.\n{app}"
    readme = README.format(title=f"The state after D{decision}", what=what, run=run)
    (folder / "README.md").write_text(readme + changes(decision, before, after))


def nervous_system(decision: int, folder: Path) -> str:
    """Write inngest_app.py as it stands after a Decision. Returns its text; before D1 there is none."""
    if decision < 1:
        return ""
    path = folder / "inngest_app.py"
    path.write_text(as_of((ROOT / "inngest_app.py").read_text(), decision))
    # What only the lines that were cut had imported is not needed any more.
    for command in (["check", "--select", "F401,I001", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", path.name], cwd=folder, check=True)
    return path.read_text()


def changes(decision: int, before: str, after: str) -> str:
    """What a Decision changed, edit by edit, as a part of the checkpoint's README. Empty for the first of all."""
    if not after:
        return ""
    text = f"\n## What D{decision} changed\n\n"
    files = ", ".join(f"`{name}`" for name in ([] if before else ["inngest_app.py"]) + ADDED.get(decision, []))
    text += f"New files: {files}.\n" if files else "There are no new files.\n"
    if not before:
        return text
    old, new = before.splitlines(), after.splitlines()
    edits = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT))
    if not edits:
        text += "`inngest_app.py` stays as it is.\n"
    for number, edit in enumerate(edits, 1):
        added = [line for kind, _, _, first, end in edit if kind != "equal" for line in new[first:end]]
        removed = [line for kind, first, end, _, _ in edit if kind != "equal" for line in old[first:end]]
        subject = place(after, edit[0][3] + CONTEXT + 1)
        text += f"\n{number}. {sentence(subject, added, removed)}\n\n```diff\n"
        for kind, first, last, start, end in edit:
            if kind == "equal":
                text += "".join(f" {line}\n" for line in old[first:last])
                continue
            text += "".join(f"-{line}\n" for line in old[first:last])
            text += "".join(f"+{line}\n" for line in new[start:end])
        text += "```\n"
    return text


def place(source: str, line: int) -> str:
    """The function in which a line stands, its decorator included, or the file."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                return f"`{node.name}`"
    return "The file"


def sentence(subject: str, added: list[str], removed: list[str]) -> str:
    """What one edit does, read from its lines: the names, arguments and steps that come in, and its region's title."""
    text = "\n".join(added)
    parts = {
        "import": sorted(imported(added) - imported(removed)),
        "name": re.findall(r"^(?:async def |def )?(\w+)(?: = |\()", text, re.MULTILINE),
        "argument": re.findall(r"^    (?!fn_id)(\w+)=", text, re.MULTILINE),
        "step": list(dict.fromkeys(re.findall(r'step\.\w+[(,]\s*"([\w-]+)"', text))),
    }
    gets = [
        f"the {what}{'s' if len(names) > 1 else ''} {listed([f'`{name}`' for name in names])}"
        for what, names in parts.items()
        if names
    ]
    title = next((found[1] for line in added if (found := TITLE.match(line))), "")
    told = f"{subject} gets {listed(gets) or f'{len(added)} lines'}"
    if len(removed) == 1 and not imported(removed):
        told += f" in place of `{removed[0].strip()}`"
    return f"{told}: {title}." if title else f"{told}."


def imported(lines: list[str]) -> set[str]:
    """The names that these lines of a file import."""
    found = [re.match(r"(?:from \S+ )?import (.+)", line) for line in lines]
    return {name for match in found if match for name in match[1].split(", ")}


def listed(words: list[str]) -> str:
    """Words in a sentence: one, two and three."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def learners_lock() -> str:
    """The part of requirements.lock that a learner needs, on any platform: LEARNER and what these need."""
    return locked(needed_by(LEARNER))


def stand_ins_lock(wheel: Path) -> str:
    """What the wheel of the stand-ins needs beyond a learner's lock, and the wheel itself with its digest."""
    project = tomllib.loads((STAND_INS_SOURCE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *(text for extra in extras if extra != "pytest" for text in extras[extra])]
    own = [text for text in direct if not text.startswith(project["name"])]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    itself = f"./{STAND_INS}/{wheel.name}[dev] \\\n    --hash=sha256:{digest}\n"
    return locked(needed_by(own) - needed_by(LEARNER)) + itself


def needed_by(requirements: list[str]) -> set[str]:
    """The names of these packages and of all that they need."""
    wanted: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        parent = waiting.pop()
        name = canonicalize_name(parent.name)
        if name in wanted and not parent.extras:
            continue
        wanted.add(name)
        # What is not installed here belongs to another platform.
        with suppress(importlib.metadata.PackageNotFoundError):
            needed = [Requirement(text) for text in importlib.metadata.requires(name) or []]
            waiting += [each for each in needed if is_for(each, parent.extras)]
    return wanted


def locked(names: set[str]) -> str:
    """The entries of requirements.lock for these packages."""
    entries = re.split(r"^(?=\w)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    return "".join(entry for entry in entries if canonicalize_name(entry.partition("==")[0]) in names)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the stand-ins into a folder. The same sources give the same wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=STAND_INS_SOURCE, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def is_for(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a package needs this, on some platform, when it is installed with these extras."""
    marker = str(requirement.marker)
    return "extra ==" not in marker or any(f'extra == "{extra}"' in marker for extra in extras)


def pins(lock: str) -> str:
    """LEARNER with the versions of a lock, as lines of a TOML list."""
    found = re.findall(r"^([\w.-]+==[^ ;\\]+)", lock, re.MULTILINE)
    return "".join(f'    "{pin}",\n' for pin in found if pin.partition("==")[0] in LEARNER)


def write_base(archive: Path) -> None:
    """Write the zip of the folder that a learner starts from."""
    with tempfile.TemporaryDirectory() as temporary, ZipFile(archive, "w", ZIP_DEFLATED) as packed:
        folder = Path(temporary)
        copy(RULES, folder)
        lock = learners_lock()
        (folder / "requirements.lock").write_text(lock)
        (folder / STAND_INS_LOCK).write_text(stand_ins_lock(build_wheel(folder / STAND_INS)))
        (folder / "pyproject.toml").write_text(PROJECT.format(name=BASE, dependencies=pins(lock)))
        (folder / ".env.example").write_text((ROOT / ".env.example").read_text().partition(OPTIONAL)[0].rstrip() + "\n")
        (folder / "README.md").write_text(BASE_README)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = ZipInfo(f"{BASE}/{path.relative_to(folder).as_posix()}", DATE)
            # The permissions of an ordinary file, which a ZipInfo does not have by itself.
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes(), ZIP_DEFLATED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which of the two, and where."""
    parser.add_argument("what", choices=["base", *(f"d{number}" for number in range(LAST + 1))])
    parser.add_argument("--to", type=Path, metavar="PATH", help=f"default: {ARCHIVE}, or a folder like checkpoint-d3")


def main(options: argparse.Namespace) -> int:
    """Write it. Returns 1 when there is something already."""
    base = options.what == "base"
    target: Path = options.to or Path(ARCHIVE if base else f"checkpoint-{options.what}")
    if target.exists() and not base:
        print(f"{target} is there already: remove it, or name another place with --to", file=sys.stderr)
        return 1
    if base:
        write_base(target)
    else:
        write_checkpoint(int(options.what[1:]), target)
    print(f"Wrote {target}.")
    return 0
