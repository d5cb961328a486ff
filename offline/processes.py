"""Child processes that never outlive the program that started them, and the folder that holds what they print."""

import contextlib
import os
import signal
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
# What a child may inherit. Everything else, the caller's DATABASE_URL and keys above all, must be given to it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Process:
    """One running child with its process group, of which it is the leader."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path | None

    @property
    def pid(self) -> int:
        """Its id, which is its group's too."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def cpu_seconds(self) -> float:
        """The processor time it has used so far, user and system."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def tail(self, lines: int = 12) -> str:
        """The last lines it printed."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open(errors="replace") as printed:
            return "".join(deque(printed, maxlen=lines)).rstrip()


class Processes:
    """A context in which children run. On leaving it, or when this program is killed, none of them is left."""

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
        """Run `python ARGUMENTS` in the project's folder; it sees only `environment` and the harmless `INHERITED`.

        What it prints goes to a file in `folder`, or with `piped` to `popen.stdout`.
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
                # In the child, before its program begins: at no moment is there a child the guardian cannot know.
                preexec_fn=self._announce,  # noqa: PLW1509 (no threads hold locks that this needs)
            )
        process = Process(name, popen, log)
        self._running.append(process)
        return process

    def kill(self, process: Process) -> None:
        """SIGKILL: the child gets no chance to finish anything. Returns once it is gone."""
        process.signal(signal.SIGKILL)
        self._ended(process)

    def stop(self, *processes: Process) -> None:
        """Ask children to end, all at once, and wait for them; after 5 s they are killed."""
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            # Also after a good end: a worker of the group may have outlived its leader.
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
