"""`python -m gates watch`: checks the current Decision again whenever a file, a function or a run has changed."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gates import contract, progress
from gates.engine import Engine, EngineError, Function
from gates.report import BOLD, Report
from gates.rows import RowsError

POLL_SECONDS = 1.5
ASIDE = {"gates", "__pycache__", "node_modules"}
# Runs of other functions, such as a cron that cleans up every five minutes, say nothing about a Decision.
TRIGGERS = {contract.GREET, contract.EMAIL, contract.HEALTH_CHECK, contract.EVERY_MORNING}
SETTINGS = ".env"
CLEAR = "\033[2J\033[H"


class SettingsChangedError(Exception):
    """The file of settings has changed, which are read once, when a program starts."""


@dataclass(frozen=True)
class Seen:
    """What a build looks like from outside: what is in its files, what is registered, how its runs stand."""

    files: dict[str, int]
    functions: list[Function] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)


def files_here() -> dict[str, int]:
    """A number for what is in `.env` and each Python file here, without hidden folders and virtual environments.

    Not the time of the last change: a gate that has killed the app touches a file, so that it is started again.
    """
    found = {}
    for folder, folders, names in os.walk("."):
        folders[:] = [
            name
            for name in folders
            if name not in ASIDE and not name.startswith(".") and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        for path in [Path(folder, name) for name in names if name.endswith(".py") or name == ".env"]:
            with suppress(FileNotFoundError):  # An editor may replace a file at this moment.
                found[str(path)] = hash(path.read_bytes())
    return found


async def look(engine_url: str) -> Seen:
    """What the build looks like now. As long as no engine answers, there are no functions and no runs."""
    files = files_here()
    try:
        async with Engine(engine_url) as engine:
            functions = await engine.functions()
            newest = await engine.ask("list_runs", limit=100)
    except Exception:  # The engine may go away at any point of a conversation with it.
        return Seen(files)
    ours = {function.id for function in functions if not function.triggers or TRIGGERS & set(function.triggers)}
    runs = {run["id"]: run["status"] for run in newest.get("data") or [] if run["function"]["id"] in ours}
    return Seen(files, functions, runs)


class Watch:
    """Checks the first of `gates` that is not done, goes on to the next when it is, and ends after the last.

    `check` runs one gate, `look` tells what the build looks like.
    """

    def __init__(
        self, gates: Iterable[str], check: Callable[[str, Report], Awaitable[None]], look: Callable[[], Awaitable[Seen]]
    ) -> None:
        self.asked = asyncio.Event()
        self._gates = list(gates)
        self._check_gate, self._look = check, look
        self._seen: Seen | None = None
        self._own_runs: set[str] = set()
        self._checked = ""

    async def until_all_is_done(self) -> None:
        """Check after each change. Whenever `asked` is set, a hint is printed. Raises SettingsChangedError."""
        while (gate := progress.current(self._gates)) is not None:
            if not await self.check_after_a_change(gate):
                await self._wait()

    async def check_after_a_change(self, gate: str) -> bool:
        """Run this gate if something has changed since it was run last. Returns whether it was."""
        now = await self._look()
        if self._seen is not None:
            if self._checked == gate and not self._changed(self._seen, now):
                return False
            now = await self._at_rest(now)
            if now.files.get(SETTINGS) != self._seen.files.get(SETTINGS):
                raise SettingsChangedError
        await self._check(gate, now)
        return True

    def _changed(self, before: Seen, now: Seen) -> bool:
        others = {run: status for run, status in now.runs.items() if run not in self._own_runs}
        known = {run: before.runs.get(run) for run in others}
        return (before.files, before.functions) != (now.files, now.functions) or others != known

    async def _at_rest(self, now: Seen) -> Seen:
        """What the build looks like when no more files are saved and the app has started again."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            later = await self._look()
            if later == now:
                return now
            now = later

    async def _check(self, gate: str, before: Seen) -> None:
        report = Report(advises=False)
        if sys.stdout.isatty() and gate == self._checked:
            print(CLEAR, end="", flush=True)
        self._checked = gate
        try:
            await self._check_gate(gate, report)
        except (EngineError, RowsError) as error:
            print(f"\n{error}", flush=True)
        progress.keep(report)
        after = await self._look()
        # What the check has begun may still fail or end much later, which is no news of the build.
        self._own_runs |= after.runs.keys() - before.runs.keys()
        # A file that was saved during the check is a change.
        self._seen = Seen(before.files, before.functions, after.runs)
        following = progress.current(self._gates)
        print(f"\n{report.summary} {self._what_next(gate, following, report)}", flush=True)

    def _what_next(self, gate: str, following: str | None, report: Report) -> str:
        if following != gate:
            done = report.coloured(BOLD, f"{gate} is done.")
            return f"{done} On to {following}." if following else f"{done} Nothing is left to watch."
        ways = "Enter gives a hint" if sys.stdin.isatty() else "`python -m gates hint` helps"
        return f"Watching {gate}: save a file or send an event. {ways}, Ctrl-C ends."

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self.asked.wait(), POLL_SECONDS)
        except TimeoutError:
            return
        self.asked.clear()
        print(progress.hint(self._gates), flush=True)


async def main(gates: Iterable[str], check: Callable[[str, Report], Awaitable[None]], engine_url: str) -> None:
    """Watch until everything is done. In a terminal, Enter asks for a hint. Raises SettingsChangedError."""
    watch = Watch(gates, check, lambda: look(engine_url))
    loop = asyncio.get_running_loop()

    def listen() -> None:
        # Not sys.stdin: a thread that waits in its buffer disturbs the end of the program.
        while os.read(sys.stdin.fileno(), 1024):
            loop.call_soon_threadsafe(watch.asked.set)

    if sys.stdin.isatty():
        threading.Thread(target=listen, daemon=True).start()
    await watch.until_all_is_done()
