"""A process that cleans up after the program that started it.

A program that is killed cannot stop its children or remove its folder. So it starts this file in a session of its own,
which Ctrl-C in the terminal does not reach. It reads the name of a new folder from this process, and tells it of every
child. When the program ends, however it ends, the pipe between them closes. Then this process kills the children that
still run, and removes the folder.

It is run by path with `python -I -S`, so it can use only the standard library.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile


def main() -> None:
    """Print the folder, then read "+GROUP" when a process group was started and "-GROUP" when it has ended."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="customer-support-")
    groups: set[int] = set()
    try:
        print(folder, flush=True)
        for line in sys.stdin:
            group = int(line[1:])
            if line[0] == "+":
                groups.add(group)
            else:
                groups.discard(group)
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
