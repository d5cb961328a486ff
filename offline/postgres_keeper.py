"""The keeper: the parent process of one embedded Postgres, which cleans up after its owner.

A server that a test run has started itself stays behind when that run is killed. So the owner, here the test run,
starts this file instead, in a session of its own, which Ctrl-C in the terminal does not reach. The owner holds the
other end of this process's stdin. When the owner ends, however it ends, that pipe closes. Then the keeper stops the
server, and removes its folder if it was a temporary one.

It is run by path with `python -I -S`, so it can use only the standard library.
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
    """Run the server that the plan in argv describes, until the owner gives an order, and carry the order out.

    First initdb is run if there is no data yet. Prints one line of JSON for each fact: `{"pid": …}` once the server is
    started, and `{"failed": "…"}` when it could not be started or has ended by itself. The order on stdin is "fast" or
    "immediate", then "keep" or "remove" for the folder. If stdin is closed without an order, the plan's `orphaned` is.
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
    """Return the owner's order, and the process to stop, or None when there is none."""
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
    """Start a program of Postgres. None of the user's PG… variables and locales reaches it."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=ENVIRONMENT)


def report(**fact: object) -> None:
    """Tell the owner a fact. If the owner is gone, the next wait notices that."""
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
    """Wait for the owner's order and return it, or return None as soon as `process` has ended by itself."""
    owner = os.getppid()
    while process is None or process.poll() is None:
        # If the owner has forked, its child keeps the pipe open. Therefore the parent is checked every second, too.
        readable, _, _ = select.select([0, wake], [], [], 1.0)
        if 0 in readable:
            return os.read(0, 100).decode() or orphaned
        if wake in readable and set(os.read(wake, 100)) - {signal.SIGCHLD}:
            return orphaned
        if os.getppid() != owner:
            return orphaned
    return None


def stop(process: subprocess.Popen[bytes], how: str) -> None:
    """Stop Postgres as https://www.postgresql.org/docs/current/server-shutdown.html describes, at last by SIGKILL."""
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
