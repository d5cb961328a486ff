"""Programs that start at once: each is forked from a process that has already imported what they need.

Started by `python -m`, each would import for seconds. What a kill costs a test is then the retry, not the new start.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.e2e.killable_app", "tests.concepts.killable_shelf"])


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Call a function of a module in a new process, which ends with this one, however that ends."""
    process = _processes.Process(target=_run, args=(target, arguments), daemon=True)
    process.start()
    return process


def _run(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    target(*arguments)


def _end_with_the_test() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
