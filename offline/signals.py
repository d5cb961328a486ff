"""Lets SIGTERM and a closed terminal end a program as Ctrl-C does: the main task is cancelled and cleans up."""

import asyncio
import signal


def end_on_signals() -> None:
    """Cancel the current task on SIGTERM and SIGHUP. `asyncio.run` does the same on Ctrl-C."""
    task = asyncio.current_task()
    assert task
    for name in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
