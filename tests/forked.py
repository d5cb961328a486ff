"""Programs that start at once: each is forked from a process that has already imported what they need.

Started by `python -m`, each would import for seconds. What a kill costs a test is then the retry, not the new start.
"""

import asyncio
import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.e2e.killable_app", "tests.concepts.killable_shelf"])


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Call a function of a module in a new process, which ends with this one, however that ends."""
    process = _processes.Process(target=_run, args=(target, arguments), daemon=True)
    process.start()
    return process


class Module:
    """A process that is `python -m NAME ARGUMENTS`, and has what `asyncio.create_subprocess_exec` would have given."""

    def __init__(self, name: str, *arguments: str, environment: Mapping[str, str], printed: Path) -> None:
        self._printed = printed
        self._process = start(_module, [name, *arguments], dict(environment), printed)

    @property
    def returncode(self) -> int | None:
        """None as long as it runs."""
        return self._process.exitcode

    async def communicate(self) -> tuple[bytes, None]:
        """Wait for its end, and read what it has printed."""
        await asyncio.to_thread(self._process.join)
        return self._printed.read_bytes(), None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()

    def tail(self) -> str:
        """Return the end of what it has printed."""
        return self._printed.read_text()[-2000:]


def _module(arguments: list[str], environment: dict[str, str], printed: Path) -> None:
    with printed.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ |= environment
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _run(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    target(*arguments)


def _end_with_the_test() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
