"""Runs the processes of deploy/compose.yaml without containers: replicas of the app behind HAProxy, until Ctrl-C.

Postgres and the engine are the stand-ins, or an engine of your own, whose keys are then in the environment or in .env.
The signal USR1 deploys anew, one replica after the other, while everything goes on.
"""

import argparse
import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import httpx

from offline.dev import own_settings
from offline.postgres import EmbeddedPostgres, PostgresError
from offline.processes import ROOT, Process, Processes, free_port
from offline.signals import run_until_stopped
from offline.stack import START_SECONDS, StackError

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
# The lines of the configuration that hold addresses.
TLS, INSIDE = "bind :443 ssl crt /etc/haproxy/certificate.pem", "bind :8080"
REPLICAS = "server-template app 10 app:8000 resolvers network init-addr none"
# The proxy asks every two seconds who is ready.
NOTICED_SECONDS = 3
EXEC = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


def configuration(front: int, addresses: list[str]) -> str:
    """The proxy's configuration that we ship, with other addresses and without TLS."""
    text = CONFIGURATION.read_text()
    servers = "\n    ".join(f"server app{number} {address}" for number, address in enumerate(addresses, 1))
    changes = {TLS: f"bind 127.0.0.1:{front}", INSIDE: f"bind 127.0.0.1:{free_port()}", REPLICAS: servers}
    for before, after in changes.items():
        if text.count(before) != 1:
            raise StackError(f"deploy/haproxy.cfg has no line, or several, with {before!r}.")
        text = text.replace(before, after)
    return text


class Production:
    """The processes, as an async context manager. Entering raises StackError when one of them does not start."""

    def __init__(self, settings: Mapping[str, str], *, replicas: int = 3, engine_url: str = "", port: int = 0) -> None:
        self.engine_url = engine_url
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.postgres = EmbeddedPostgres()
        self.processes = Processes()
        self.replicas: dict[int, Process] = {}
        self._settings = dict(settings)
        # A deploy starts the new replicas beside the old ones.
        self._ports = [free_port() for _ in range(2 * replicas)]
        self._count = replicas
        self._open = ExitStack()

    async def __aenter__(self) -> Self:
        if HAPROXY is None:
            raise StackError("HAProxy is not installed (on Debian and Ubuntu: apt-get install haproxy).")
        try:
            self._open.enter_context(self.processes)
            self._open.enter_context(self.postgres)
            await self._start_engine()
            migration = self.processes.start("migrate", "db.py", environment=self._environment())
            if await asyncio.to_thread(migration.popen.wait):
                raise StackError(f"`python db.py` failed:\n{migration.tail()}")
            file = self.processes.folder / "haproxy.cfg"
            front = int(self.url.rpartition(":")[2])
            file.write_text(configuration(front, [f"127.0.0.1:{port}" for port in self._ports]))
            self.processes.start("proxy", "-c", EXEC, HAPROXY, "-db", "-f", str(file), environment={})
            await asyncio.gather(*(self._start_replica(port) for port in self._ports[: self._count]))
            await self._noticed()
            await self.sync()
        except BaseException:
            self._open.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open.close()

    async def deploy(self) -> None:
        """Replace each replica by a new one: start it, wait until it is ready, and let the old one finish its work."""
        for old_port, old in list(self.replicas.items()):
            port = next(port for port in self._ports if port not in self.replicas)
            await self._start_replica(port)
            await self._noticed()
            old.signal(signal.SIGTERM)
            await asyncio.to_thread(old.popen.wait)
            del self.replicas[old_port]
        await self.sync()

    async def sync(self) -> None:
        """Let the engine register the functions. Raises StackError when it does not."""
        if "INNGEST_DEV" in self._environment():
            async with httpx.AsyncClient(trust_env=False, timeout=START_SECONDS) as http:
                ended = not (await http.put(f"{self.url}/api/inngest")).is_success
        else:
            sync = self.processes.start("sync", "-m", "deploy.sync", environment=self._environment())
            ended = bool(await asyncio.to_thread(sync.popen.wait))
        if ended:
            raise StackError(f"The engine did not take the app's functions:\n{self.logs()}")

    def logs(self) -> str:
        """Return the last lines that each process has printed, for a person who looks for a fault."""
        return "\n".join(
            f"--- {file.stem} ---\n{file.read_text()[-1000:]}" for file in self.processes.folder.glob("*.log")
        )

    def _environment(self) -> dict[str, str]:
        addresses = {"DATABASE_URL": self.postgres.url, "DESK_URL": self.url, "INNGEST_SERVE_ORIGIN": self.url}
        # The real engine and its keys are in the settings.
        engine = {} if "INNGEST_SIGNING_KEY" in self._settings else {"INNGEST_DEV": self.engine_url}
        return self._settings | addresses | engine | {"INNGEST_BASE_URL": self.engine_url}

    async def _start_engine(self) -> None:
        if self.engine_url:
            return
        port = free_port()
        options = ("--port", str(port), "--no-discovery", "--no-poll")
        engine = self.processes.start("engine", "-m", "offline.inngest_server", *options, environment={})
        self.engine_url = f"http://127.0.0.1:{port}"
        await self._answers(f"{self.engine_url}/health", engine)

    async def _start_replica(self, port: int) -> None:
        options = ["--port", str(port), "--timeout-keep-alive", "300", "--timeout-graceful-shutdown", "600"]
        command = ("-m", "uvicorn", "inngest_app:app", *options)
        replica = self.processes.start(f"app-{port}", *command, environment=self._environment())
        self.replicas[port] = replica
        await self._answers(f"http://127.0.0.1:{port}/readyz", replica)

    async def _noticed(self) -> None:
        await asyncio.sleep(NOTICED_SECONDS)

    async def _answers(self, url: str, part: Process) -> None:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(START_SECONDS):
            while True:
                try:
                    if (await http.get(url)).is_success:
                        return
                except httpx.TransportError:
                    pass
                if not part.running:
                    raise StackError(f"The {part.name} ended while it was starting:\n{part.tail()}")
                await asyncio.sleep(0.05)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options: how many replicas, where the proxy listens, and an engine of one's own."""
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="the proxy's port (default: %(default)s)")
    parser.add_argument("--engine", default="", metavar="URL", help="a self-hosted engine, instead of the stand-in")


def main(options: argparse.Namespace) -> int:
    """Run until Ctrl-C. Returns 0 then, or 1 when something could not be started."""
    return run_until_stopped(_run(options), StackError, PostgresError)


async def _run(options: argparse.Namespace) -> None:
    wanted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, wanted.set)
    keys = ("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY") if options.engine else ()
    chosen = own_settings(*keys)
    async with Production(chosen, replicas=options.replicas, engine_url=options.engine, port=options.port) as all_of_it:
        print(f"app     {all_of_it.url}, {options.replicas} replicas behind HAProxy; its desk needs REVIEWERS")
        print(
            f"engine  {all_of_it.engine_url}\nkill -USR1 {os.getpid()} deploys anew; Ctrl-C stops everything.",
            flush=True,
        )
        while True:
            await wanted.wait()
            wanted.clear()
            await all_of_it.deploy()
            print("Deployed.", flush=True)
