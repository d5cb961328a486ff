"""Starts child processes that never outlive this program, and keeps what they print in a folder."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).parents[1]
# A child inherits only these. The caller's DATABASE_URL, keys and all the rest must be given to it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
STOP_SECONDS = 5.0


# The sockets that keep the ports of `free_port`, until this program ends.
_KEPT: list[socket.socket] = []


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens, and keep it for this program and those it starts.

    A socket that is bound to the port and never listens keeps it: the system gives the port to nobody who asks for any
    free one. A server that is told to use it may still do so, and again after a restart, if it sets SO_REUSEADDR as
    uvicorn, asyncio and Postgres do (see socket(7)). Only Linux allows that; elsewhere the port is let go at once.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    port = int(keeper.getsockname()[1])
    if sys.platform == "linux":
        _KEPT.append(keeper)
    else:
        keeper.close()
    return port


@dataclass(frozen=True)
class Process:
    """One child and its process group, which it leads."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path | None

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group. Nothing happens if the group has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def cpu_seconds(self) -> float:
        """Return the processor time that the process and its children have used so far, user and system together."""
        process = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def tail(self, lines: int = 12) -> str:
        """Return the last lines that the process has printed."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open(errors="replace") as printed:
            return "".join(deque(printed, maxlen=lines)).rstrip()


class Processes:
    """A context in which children run. None of them is left on leaving it, or when this program is killed."""

    def __init__(self) -> None:
        self._running: list[Process] = []

    def __enter__(self) -> Self:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(ROOT / "offline" / "guardian.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._guardian.stdin
        assert self._guardian.stdout
        self._report = self._guardian.stdin
        folder = self._guardian.stdout.readline().decode().strip()
        if not folder:
            raise RuntimeError("The process that cleans up after this one did not start; is the disk full?")
        self.folder = Path(folder)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop(*self._running)
        finally:
            # Closing the pipe ends the guardian, which removes the folder and kills what is left.
            self._report.close()
            self._guardian.wait()
            assert self._guardian.stdout
            self._guardian.stdout.close()

    def start(self, name: str, *arguments: str, environment: Mapping[str, str], piped: bool = False) -> Process:
        """Run `python ARGUMENTS` in the project's folder, with `environment` and `INHERITED` and nothing else.

        What it prints goes to a file in `folder`, or to `popen.stdout` if `piped` is set.
        """
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        log = None if piped else self.folder / f"{name}.log"
        with contextlib.ExitStack() as files:
            output = subprocess.PIPE if log is None else files.enter_context(log.open("ab"))
            popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=inherited | {"PYTHONUNBUFFERED": "1", "PYTHON_DOTENV_DISABLED": "1"} | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # This runs in the child before its program begins, so the guardian knows of every child in time.
                preexec_fn=self._announce,  # noqa: PLW1509 (no threads hold locks that this needs)
            )
        process = Process(name, popen, log)
        self._running.append(process)
        return process

    def kill(self, process: Process) -> None:
        """Send SIGKILL, so that the child can finish nothing. Returns once it is gone."""
        process.signal(signal.SIGKILL)
        self._ended(process)

    def stop(self, *processes: Process) -> None:
        """Ask all these children to end, and wait for them. Those that still run after 5 s are killed."""
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            # Even if the child has ended, another process of its group may still run.
            self.kill(process)

    def _announce(self) -> None:
        os.write(self._report.fileno(), b"+%d\n" % os.getpid())

    def _ended(self, process: Process) -> None:
        process.popen.wait()
        if process.popen.stdout:
            process.popen.stdout.close()
        self._running = [other for other in self._running if other is not process]
        with contextlib.suppress(BrokenPipeError):
            os.write(self._report.fileno(), b"-%d\n" % process.pid)
