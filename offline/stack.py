"""Runs Postgres, an engine and the app as real processes, which know each other by environment variables alone.

The app is the unmodified `uvicorn inngest_app:app` that a learner starts. Settings say which model it uses, and whether
the engine is the stand-in or an official dev server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import Self

import httpx

from offline.postgres import EmbeddedPostgres
from offline.processes import Process, Processes, free_port

RULE_BASED = {"MODEL_PROVIDER": "offline.model:RuleBasedProvider", "MODEL": "rule-based"}
START_SECONDS = 60.0
PORT_TRIES = 5
EXAMPLE_URL = "http://127.0.0.1:8288"


class StackError(RuntimeError):
    """A part did not start. The text ends with what the part printed last."""


class Stack:
    """The three parts, as an async context manager. On leaving it nothing is left, whatever happened before.

    `settings` are the app's environment variables, without the addresses. `engine_url` is a running dev server to use
    in place of the stand-in. A port of None is a free one, and a `postgres` of None a temporary one. With `on_start`,
    what app and engine print goes to `popen.stdout`, and `on_start` has to read it. Entering raises StackError when a
    part does not start.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        engine_url: str | None = None,
        engine_port: int | None = None,
        app_port: int | None = None,
        postgres: EmbeddedPostgres | None = None,
        app: str = "inngest_app:app",
        on_start: Callable[[Process], None] | None = None,
    ) -> None:
        self.settings = dict(settings)
        self.engine_url = engine_url or ""
        self.postgres = postgres or EmbeddedPostgres()
        self.processes = Processes()
        self.http = httpx.AsyncClient(trust_env=False, timeout=30)
        self.app: Process
        self.engine: Process | None = None
        self._engine_port = engine_port
        self._app_port = app_port
        self._app_name = app
        self._on_start = on_start
        self._open = ExitStack()

    @property
    def app_url(self) -> str:
        """The app's address, which stays the same after a restart."""
        return f"http://127.0.0.1:{self._app_port}"

    async def __aenter__(self) -> Self:
        try:
            if self.engine_url and not await self._answers(f"{self.engine_url}/health"):
                raise StackError(
                    f"No Inngest dev server answers at {self.engine_url}: expected a URL like {EXAMPLE_URL}"
                )
            self._open.enter_context(self.processes)
            if not self.engine_url:
                self._start_engine()
            self._open.enter_context(self.postgres)
            # The engine has no address yet; that there is one brings the example customers.
            migrating = {"DATABASE_URL": self.postgres.url, "INNGEST_DEV": "1"}
            migration = self.processes.start("migration", "db.py", environment=migrating)
            if self.engine is not None:
                await self._until(self._engine_listens, self.engine)
            await self._first_start(migration)
            self.processes.stop(migration)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # The processes are ended first, because nothing can interrupt that.
        self._open.close()
        await self.http.aclose()

    async def start_app(self, **changes: str) -> None:
        """Start the app and register its functions with the engine. `changes` are settings for this start only."""
        self._spawn_app(changes)
        await self._sync_app()

    async def restart_app(self, **changes: str) -> None:
        """Stop the app if it runs, and start it as `start_app` does."""
        self.processes.stop(self.app)
        await self.start_app(**changes)

    def logs(self) -> str:
        """Return the last lines that app and engine have printed, for a person who looks for a fault."""
        parts = [part for part in (self.app, self.engine) if part is not None]
        return "\n".join(f"--- the last lines of the {part.name} ---\n{part.tail() or '(none)'}" for part in parts)

    def _start_engine(self) -> None:
        options = ("--port", str(self._engine_port or 0), "--no-discovery", "--no-poll")
        self.engine = self._start("engine", ("-m", "offline.inngest_server", *options), {})

    async def _engine_listens(self) -> bool:
        assert self.engine
        if self._engine_port:
            self.engine_url = f"http://127.0.0.1:{self._engine_port}"
        else:
            said = [line.split()[-1] for line in self.engine.tail().splitlines() if line.startswith("listening ")]
            self.engine_url = said[0] if said else ""
        return bool(self.engine_url) and await self._answers(f"{self.engine_url}/health")

    def _spawn_app(self, changes: dict[str, str]) -> None:
        address = {"DATABASE_URL": self.postgres.url, "INNGEST_DEV": self.engine_url}
        options = ["--host", "127.0.0.1", "--port", str(self._app_port), "--timeout-graceful-shutdown", "2"]
        # An engine keeps idle connections open. If the app closed one just as a call comes in, the call would fail.
        options += ["--timeout-keep-alive", "300"]
        environment = {"DESK_URL": self.app_url} | self.settings | address | changes
        self.app = self._start("app", ("-m", "uvicorn", self._app_name, *options), environment)

    def _start(self, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> Process:
        process = self.processes.start(name, *arguments, environment=environment, piped=self._on_start is not None)
        if self._on_start:
            self._on_start(process)
        return process

    async def _sync_app(self) -> None:
        await self._until(lambda: self._answers(f"{self.app_url}/readyz"), self.app)
        answer = await self.http.put(f"{self.app_url}/api/inngest")
        if not answer.is_success:
            raise StackError(f"The engine at {self.engine_url} did not take the app's functions: {answer.text}")

    async def _first_start(self, migration: Process) -> None:
        """Start the app while the tables are made. If another program takes the free port first, try another port."""
        tries = 1 if self._app_port else PORT_TRIES
        for number in range(tries):
            self._app_port = self._app_port if tries == 1 else free_port()
            self._spawn_app({})
            if await asyncio.to_thread(migration.popen.wait):
                raise StackError(f"`python db.py` failed:\n{migration.tail()}")
            try:
                await self._sync_app()
                break
            except StackError:
                if "address already in use" not in self.app.tail(50) or number == tries - 1:
                    raise

    async def _answers(self, url: str) -> bool:
        try:
            return (await self.http.get(url)).is_success
        except httpx.TransportError:
            return False

    async def _until(self, ready: Callable[[], Awaitable[bool]], part: Process) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not await ready():
            if not part.running:
                raise StackError(f"The {part.name} ended while it was starting:\n{part.tail()}")
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(f"The {part.name} was not ready after {START_SECONDS:.0f} s:\n{part.tail()}")
            await asyncio.sleep(0.02)
