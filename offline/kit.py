"""What a learner takes along: the base to start from, and the state after a Decision.

Both are made from this repository's own files. A Decision's state is what is left when the lines of later ones are
cut out, by the marks in the sources: `# region D4` to `# endregion D4`, `# D4` at the end of a line, and for what a
Decision replaces, `# before D2: code`. What is marked `doors` goes beyond the course.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from offline.processes import ROOT

BASE = "ai-agent-nervous-system-base"
LAST, BEYOND = 6, 7
RULES = [
    *("AGENTS.md", "CLAUDE.md", ".claude", ".mcp.json", "opencode.json", ".env.example", ".gitignore"),
    *("pyproject.toml", "requirements.lock", "LICENSE", "migrations", "gates"),
]
WORKER = [*("db.py", "worker.py", "sandbox.py", "saved_state.py", "refunds")]
NERVES = ["inngest_app.py", "steps.py", "settings.py"]
WAYS_OUT = ["web/__init__.py", "web/health.py", "outbound"]
# A fixed date: the same sources give the same archive.
DATE = (2026, 1, 1, 0, 0, 0)
REGION = re.compile(r"# (end)?region (D\d|doors)\b")
MARK = re.compile(r".*\S  # (D\d|doors)$")
BEFORE = re.compile(r"( *)# before (D\d): (.*)")
README = """\
# {title}

{what}

1. A virtual environment with Python 3.11 or newer, and `pip install --require-hashes -r requirements.lock`.
2. `cp .env.example .env`, and put in your `DATABASE_URL` and `OPENAI_API_KEY`.
3. Beside it the dev server: `npx inngest-cli@latest dev -u http://127.0.0.1:8000/api/inngest`
{run}
Your coding agent reads AGENTS.md, the skills in `.claude/skills` and the prompts in `.claude/commands` (`/quick-win`,
`/d0` to `/d6`). Whether a Decision is done, `python -m gates d1` says; the `concepts/` that it names are files of the
reference app.
"""
BASE_README = README.format(
    title="Give your AI agent a nervous system: the base",
    what="Rules, skills, wiring, tables and gates; the worker and its nervous system are what you build.",
    run="4. Give your coding agent the first prompt: `/quick-win`.\n",
)


def level(mark: str) -> int:
    """The Decision that a mark names."""
    return BEYOND if mark == "doors" else int(mark[1:])


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
    copy([*RULES, *WORKER], folder)
    if decision:
        copy([*NERVES, *WAYS_OUT], folder)
        for name in ("inngest_app.py", "steps.py"):
            (folder / name).write_text(as_of((ROOT / name).read_text(), decision))
        # What the cut lines had imported is not needed any more.
        for command in (["check", "--select", "F401,I001", "--fix", "--quiet"], ["format", "--quiet"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "inngest_app.py", "steps.py"]
            subprocess.run(ruff, cwd=folder, check=True)
    app = "5. The app: `uvicorn inngest_app:app --port 8000 --timeout-keep-alive 300`\n" if decision else ""
    what = f"The worker with the layers of D1 to D{decision}." if decision else "The plain worker, without any engine."
    run = f"4. `python db.py` creates the tables and five customers.\n{app}"
    (folder / "README.md").write_text(README.format(title=f"The state after D{decision}", what=what, run=run))


def write_base(archive: Path) -> None:
    """Write the zip of the folder that a learner starts from."""
    with tempfile.TemporaryDirectory() as temporary, ZipFile(archive, "w", ZIP_DEFLATED) as packed:
        folder = Path(temporary)
        copy(RULES, folder)
        (folder / "README.md").write_text(BASE_README)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = ZipInfo(f"{BASE}/{path.relative_to(folder).as_posix()}", DATE)
            # The permissions of an ordinary file, which a ZipInfo does not have by itself.
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes(), ZIP_DEFLATED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which of the two, and where."""
    parser.add_argument("what", choices=["base", *(f"d{number}" for number in range(LAST + 1))])
    parser.add_argument("--to", type=Path, metavar="PATH", help=f"default: {BASE}.zip, or a folder like checkpoint-d3")


def main(options: argparse.Namespace) -> int:
    """Write it. Returns 1 when there is something already."""
    base = options.what == "base"
    target: Path = options.to or Path(f"{BASE}.zip" if base else f"checkpoint-{options.what}")
    if target.exists() and not base:
        print(f"{target} is there already: remove it, or name another place with --to", file=sys.stderr)
        return 1
    if base:
        write_base(target)
    else:
        write_checkpoint(int(options.what[1:]), target)
    print(f"Wrote {target}.")
    return 0
