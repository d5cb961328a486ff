"""The process that outlives the program which started it just long enough to clean up after it.

A program that is killed cannot stop its children or remove its folder. So it starts this file in a session of its own
(Ctrl-C in the terminal does not reach it), reads the name of a new folder from it, and tells it of every child. When
the program ends, however it ends, the pipe closes: what still runs is killed and the folder removed.
Run by path with `python -I -S`, hence the standard library only.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile


def main() -> None:
    """Print the folder, then read lines "+GROUP" (a process group was started) and "-GROUP" (it has ended)."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="customer-support-")
    groups: set[int] = set()
    try:
        print(folder, flush=True)
        for line in sys.stdin:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
