"""Lets SIGTERM and a closed terminal end a program as Ctrl-C does: the main task is cancelled and cleans up."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any


def end_on_signals() -> None:
    """Cancel the current task on SIGTERM and SIGHUP. `asyncio.run` does the same on Ctrl-C."""
    task = asyncio.current_task()
    assert task
    for name in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)


def run_until_stopped(work: Coroutine[Any, Any, None], *errors: type[Exception], farewell: str = "Stopped.") -> int:
    """Run a program until Ctrl-C. Returns 0 then, or 1 when one of `errors` says what could not be started."""

    async def ended_by_signals() -> None:
        end_on_signals()
        await work

    try:
        asyncio.run(ended_by_signals())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"\n{farewell}")
    except errors as error:
        print(error, file=sys.stderr)
        return 1
    return 0
