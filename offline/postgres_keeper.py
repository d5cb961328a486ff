"""The parent process of one embedded Postgres: it outlives its owner just long enough to clean up.

A server started straight from a test run stays behind when that run is killed. So the owner starts this file
instead, in a session of its own (Ctrl-C in the terminal does not reach it), and holds the write end of its stdin:
when the owner ends, however it ends, the pipe closes, and the keeper stops the server and removes its folder.
Run by path with `python -I -S`, hence the standard library only.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
SHUTDOWN = {"fast": (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), "immediate": (signal.SIGQUIT, signal.SIGKILL)}
PATIENCE_SECONDS = 10


def main() -> None:
    """Read the plan from argv, run initdb if there is no data yet, run the server, obey the owner's last word.

    Prints one JSON line per fact: `{"pid": …}` once the server is spawned, `{"failed": "…"}` when it cannot be or
    has ended by itself. The owner writes `fast|immediate keep|remove` to stdin; closing it without a word means
    the plan's `orphaned`.
    """
    plan: dict[str, Any] = json.loads(sys.argv[1])
    folder = Path(plan["folder"])
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report(failed=f"another Postgres already runs on {folder}")
        return
    wake = wake_on_signals()
    with (folder / "server.log").open("ab") as log:
        order, server = run(plan, folder, log, wake)
    how, fate = order.split()
    if server is not None:
        stop(server, how)
    if fate == "remove":
        shutil.rmtree(folder, ignore_errors=True)


def run(plan: dict[str, Any], folder: Path, log: IO[bytes], wake: int) -> tuple[str, subprocess.Popen[bytes] | None]:
    """Return the owner's order and the server it concerns (None when none was started)."""
    fresh = folder / "pgdata.new"
    if not (folder / "pgdata").exists():
        shutil.rmtree(fresh, ignore_errors=True)
        initdb = spawn(plan["initdb"], log)
        order = wait_for_order(initdb, plan["orphaned"], wake)
        if order is not None:
            return order, initdb
        if initdb.returncode != 0:
            report(failed="initdb failed")
            return wait_for_order(None, plan["orphaned"], wake) or plan["orphaned"], None
        fresh.rename(folder / "pgdata")
    server = spawn(plan["postgres"], log)
    report(pid=server.pid)
    order = wait_for_order(server, plan["orphaned"], wake)
    if order is None:
        report(failed=f"the server ended with exit code {server.returncode}")
        order = wait_for_order(None, plan["orphaned"], wake) or plan["orphaned"]
    return order, server


def spawn(argv: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program of Postgres with an environment in which no PG… variable and no locale of the user counts."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=ENVIRONMENT)


def report(**fact: object) -> None:
    """Tell the owner; one that is gone does not matter here, the next wait notices it."""
    try:
        print(json.dumps(fact), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wake_on_signals() -> int:
    """Return a descriptor that becomes readable when a child ends or somebody asks the keeper to end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)
    signal.set_wakeup_fd(writer)
    return reader


def wait_for_order(process: subprocess.Popen[bytes] | None, orphaned: str, wake: int) -> str | None:
    """Wait for the owner's order, or return None as soon as `process` has ended by itself."""
    owner = os.getppid()
    while process is None or process.poll() is None:
        # The timeout serves an owner that forked: its child still holds the pipe, but we have a new parent.
        readable, _, _ = select.select([0, wake], [], [], 1.0)
        if 0 in readable:
            return os.read(0, 100).decode() or orphaned
        if wake in readable and set(os.read(wake, 100)) - {signal.SIGCHLD}:
            return orphaned
        if os.getppid() != owner:
            return orphaned
    return None


def stop(process: subprocess.Popen[bytes], how: str) -> None:
    """Stop Postgres: https://www.postgresql.org/docs/current/server-shutdown.html (fast SIGINT, immediate SIGQUIT)."""
    for signum in SHUTDOWN[how]:
        if process.poll() is None:
            process.send_signal(signum)
            process.send_signal(signal.SIGCONT)  # a paused server acts on a signal only when it runs again
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


if __name__ == "__main__":
    main()
