"""Programs of `offline/` started as a person starts them, and what they leave behind."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
LIMIT_SECONDS = 90.0


def start(temporary: Path, *arguments: str, project: Path = ROOT, **environment: str) -> "subprocess.Popen[str]":
    """`python -m offline ARGUMENTS` with nothing in its environment that is not given here.

    It is killed after LIMIT_SECONDS, so that reading what it prints comes to an end.
    """
    program = subprocess.Popen(
        [sys.executable, "-m", "offline", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = threading.Timer(LIMIT_SECONDS, program.kill)
    limit.daemon = True
    limit.start()
    return program


def up_to(text: str, demo: "subprocess.Popen[str]") -> str:
    """What it prints up to a line with this text, or to its end."""
    assert demo.stdout
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if text in line:
            break
    return "".join(printed)


def processes_of(temporary: Path) -> list[psutil.Process]:
    """Every process of the program started with this temporary folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = str(temporary) in " ".join([*process.cmdline(), process.environ().get("TMPDIR", "")])
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def left_behind(temporary: Path) -> list[object]:
    """Processes and files, after giving them a while to go."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := [*processes_of(temporary), *temporary.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def copy_of_the_project(tmp_path: Path) -> Path:
    """A copy that a test may break."""

    def ignored(_: str, names: list[str]) -> set[str]:
        hidden = {name for name in names if name.startswith(".") and name != ".env.example"}
        return hidden | {"tests", "__pycache__", "docs"}

    return Path(shutil.copytree(ROOT, tmp_path / "project", ignore=ignored))
