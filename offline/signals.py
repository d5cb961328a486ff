"""One way to end: Ctrl-C, SIGTERM and a closed terminal all cancel the main task, which then cleans up."""

import asyncio
import signal


def end_on_signals() -> None:
    """Cancel the current task on SIGTERM and SIGHUP, as `asyncio.run` does on Ctrl-C."""
    task = asyncio.current_task()
    assert task
    for name in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
