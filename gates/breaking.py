"""`python -m gates break`: a copy of your build with one fault in it, to be found by what it does."""

import argparse
import asyncio
import difflib
import io
import json
import os
import random
import shlex
import shutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gates import source
from gates.engine import EngineError
from gates.faults import FAULTS, Fault
from gates.report import Report
from gates.rows import RowsError
from gates.world import Build

STATE = Path(".broken.json")
# What is not copied: it is large, or not the build's.
LEFT = {"node_modules", "__pycache__", "dist"}
Judge = Callable[[list[str], Build, Report], Coroutine[Any, Any, None]]


def broken(fault: Fault, folder: Path) -> tuple[Path, str] | None:
    """The first file in which the fault finds its place, and its text with the fault; None if no file has one."""
    for path in source.files(folder):
        try:
            text = fault.edit(path.read_text())
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text is not None:
            return path, text
    return None


def break_copy(fault: Fault, build: Path, copy: Path) -> Path | None:
    """Copy the build and put the fault into the copy. Returns the file that was changed, None if there is no place."""
    found = broken(fault, build)
    if found is None:
        return None

    def left(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name in LEFT or (name.startswith(".") and name != ".env")}

    shutil.copytree(build, copy, ignore=left)
    path, text = found
    (copy / path.relative_to(build)).write_text(text)
    return path.relative_to(build)


def difference(before: Path, after: Path) -> str:
    """How two files differ, line by line."""
    lines = difflib.unified_diff(before.read_text().splitlines(), after.read_text().splitlines(), lineterm="", n=1)
    return "\n".join(f"  {line}" for line in list(lines)[2:] if not line.startswith("@@"))


def main(arguments: list[str], build_of: Callable[[list[str]], Build], judge: Judge) -> int:
    """Break a copy, or help with the one that is broken.

    Arguments that are not known here are those of a gate, from which `build_of` makes what the gate is told. Returns 0
    when it is done, 1 when the copy is not repaired yet, and 2 when nothing could be done.
    """
    options, others = _arguments(arguments)
    if options.list:
        return _list()
    if not (options.hint or options.tell or options.check):
        return _break(options)
    if not STATE.exists():
        print("Nothing is broken yet: `python -m gates break`", file=sys.stderr)
        return 2
    state = json.loads(STATE.read_text())
    fault = next(fault for fault in FAULTS if fault.name == state["fault"])
    copy, file = Path(state["copy"]), Path(state["file"])
    if options.hint:
        print(f"{fault.hint}\nThe gate is {fault.gate}.")
        return 0
    if options.tell:
        print(f"{fault.name}, in {file}. {fault.edit.__doc__}\n\n{difference(file, copy / file)}")
        return 0
    return _check(fault, copy, build_of([fault.gate, *(["--beyond"] if fault.beyond else []), *others]), judge)


def _arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m gates break",
        description="A copy of your build with one fault in it, which you find. With --check the gates' options work.",
    )
    add = parser.add_argument
    add("fault", nargs="?", choices=[fault.name for fault in FAULTS], metavar="FAULT", help="default: a surprise")
    add("--to", type=Path, metavar="FOLDER", help="where the copy goes (default: beside this folder)")
    add("--list", action="store_true", help="which faults there are, and which your build has no place for")
    add("--hint", action="store_true", help="where to look")
    add("--check", action="store_true", help="is the copy repaired? Its app has to run")
    add("--tell", action="store_true", help="what was broken")
    return parser.parse_known_args(arguments)


def _list() -> int:
    for fault in FAULTS:
        found = broken(fault, Path())
        where = "" if found else f"   no place for it here: it needs {fault.needs}"
        print(f"{fault.name:<20} {fault.gate}{' --beyond' if fault.beyond else ''}{where}")
    return 0


def _break(options: argparse.Namespace) -> int:
    possible = [fault for fault in FAULTS if options.fault in (None, fault.name) and broken(fault, Path())]
    if not possible:
        needs = next((fault.needs for fault in FAULTS if fault.name == options.fault), "a build in this folder")
        print(f"This build has no place for it: it needs {needs}.", file=sys.stderr)
        return 2
    here = Path().absolute()
    copy = (options.to or here.with_name(f"{here.name}-broken")).absolute()
    known = STATE.exists() and json.loads(STATE.read_text())["copy"] == str(copy)
    if copy.exists() and not known:
        print(f"{copy} is there already, and not by me: name another place with --to", file=sys.stderr)
        return 2
    shutil.rmtree(copy, ignore_errors=True)
    fault = random.choice(possible)  # noqa: S311
    file = break_copy(fault, Path(), copy)
    STATE.write_text(json.dumps({"fault": fault.name, "file": str(file), "copy": str(copy)}))
    print(
        f"{fault.symptom}\n\n"
        f"One thing is broken in {copy}; your own build is as it was.\n"
        f"  1. Stop your app, and start the copy's in its place: cd {shlex.quote(str(copy))}, then as always.\n"
        "  2. Find it: by the symptom, in the dashboard, in the rows. Repair it there, and start it again.\n"
        "  3. Here: python -m gates break --check    (--hint: where to look, --tell: what it was)"
    )
    return 0


def _check(fault: Fault, copy: Path, build: Build, judge: Judge) -> int:
    """Let the gate judge the copy. What it advises would give the fault away, so only what it sees is printed."""
    here, report = Path().absolute(), Report(io.StringIO())
    try:
        os.chdir(copy)
        asyncio.run(judge([fault.gate], build, report))
    except (EngineError, RowsError) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        os.chdir(here)
    if report.failed:
        print(f"Not yet: {fault.gate} sees")
        for finding in report.failed:
            print(f"  ✗ {finding.what}: {finding.seen}")
        return 1
    print(f"Repaired: {report.summary}\nIt was {fault.name}. {fault.edit.__doc__}")
    return 0
