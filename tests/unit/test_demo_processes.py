"""Children and their folder never outlive the program that started them, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from offline.processes import ROOT, Processes

SLEEP = ("-c", "import time; print('up', flush=True); time.sleep(600)")
# Starts a child, and that one a grandchild; then says who they are and waits to be ended.
OWNER = """
import time
from offline.processes import Processes
CHILD = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
)
with Processes() as processes:
    child = processes.start("child", "-c", CHILD, environment={})
    print(child.pid, processes.folder, flush=True)
    time.sleep(600)
"""
PATIENCE_SECONDS = 20.0


def gone(group: int, folder: Path) -> bool:
    alive = [process for process in psutil.process_iter() if _group(process) == group]
    return not folder.exists() and not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_owner_leaves_neither_children_nor_grandchildren_nor_a_folder(how: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout
    pid, folder = owner.stdout.readline().decode().split()
    assert not gone(int(pid), Path(folder))
    owner.send_signal(how)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not gone(int(pid), Path(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(int(pid), Path(folder))


def test_a_child_sees_what_it_is_given_and_nothing_of_the_callers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "OPENAI_API_KEY", "INNGEST_DEV", "MODEL", "HTTP_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, "the caller's")
    with Processes() as processes:
        child = processes.start("child", "-c", "import os; print(dict(os.environ))", environment={"MODEL": "given"})
        child.popen.wait()
        seen = child.tail()
    assert "the caller's" not in seen
    assert "'MODEL': 'given'" in seen


def test_a_killed_child_is_gone_on_return_and_others_run_on() -> None:
    with Processes() as processes:
        first, second = (processes.start(name, *SLEEP, environment={}) for name in ("first", "second"))
        processes.kill(first)
        assert not first.running
        assert second.running


def test_a_child_that_ignores_the_request_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.processes.STOP_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    with Processes() as processes:
        child = processes.start("deaf", "-c", deaf, environment={})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "up" not in child.tail() and time.monotonic() < deadline:
            time.sleep(0.02)
        processes.stop(child)
    assert child.popen.returncode == -signal.SIGKILL


def test_the_tail_is_what_was_printed_last() -> None:
    with Processes() as processes:
        child = processes.start("child", "-c", "for number in range(100): print(number)", environment={})
        child.popen.wait()
        assert child.tail(2) == "98\n99"
