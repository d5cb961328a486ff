"""What every gate works with: the engine, the learner's rows, the report, and patience."""

import asyncio
import difflib
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from gates import contract
from gates.engine import Engine, Function, Run
from gates.hook import DIE, Pulse
from gates.report import Advice, Report
from gates.rows import Customer, Rows, RowsError
from gates.spans import Step

T = TypeVar("T")
LOOK_SECONDS = 0.25
CALLED_AGAIN_SECONDS = 60
REPLY_WORDS = 3
NOT_SERVED = Advice(
    "the function is not in the list that is given to serve(), or the app was not restarted since", "events"
)
NO_STORE = Advice("the tables are not as the gates expect them, or not told to them", "AGENTS.md")
NOT_SEEDED = Advice("the worker seeds five sample customers into an empty table; run it once", "AGENTS.md")
NO_APP = Advice("the engine knows no app: is it running, and was the engine started with -u …/api/inngest?", "events")


@dataclass(frozen=True)
class Build:
    """What the gates are told about a build.

    `worker` is the command that lets the worker answer one email; the email's text takes the place of `{email}`, or
    follows at the end. `audit` names the audit table's parts if they cannot be discovered. `patience` is for one answer
    of the build's model, in seconds. `limits` are those of D4. With `beyond`, what the reference app adds to the course
    is checked too. `environment` are variables for the worker beside this process's own. `die_after` and
    `approval_seconds` are what the build was told by its hook, see `gates/hook.py`.
    """

    engine_url: str
    database_url: str
    worker: str = "python worker.py"
    audit: str = ""
    patience: float = 60
    limits: tuple[int, int, int] = contract.LIMITS
    beyond: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    die_after: str = ""
    approval_seconds: float = 0

    @property
    def file(self) -> Path | None:
        """The Python file that the worker's command starts; None if none can be seen in it."""
        words = shlex.split(self.worker)
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word == "-m":
                path = Path(*following.split("."))
                return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
            if word.endswith(".py"):
                return Path(word)
        return None


@dataclass(frozen=True)
class World:
    """The surroundings of the build that is checked.

    `mark` is part of every event id that is sent, so that no two checks meet the same event.
    """

    engine: Engine
    rows: Rows
    report: Report
    build: Build
    mark: str = field(default_factory=lambda: uuid4().hex[:8])
    pulse: Pulse = field(default_factory=Pulse)

    async def store(self) -> list[Customer]:
        """The customers. Reports what is missing of them or of the audit table, and then there are none."""
        what = "customers and an audit table"
        try:
            await self.rows.audit()
            customers = await self.rows.customers()
        except RowsError as error:
            self.report.check(what, str(error), False, NO_STORE)
            return []
        enough = len(customers) >= contract.CUSTOMERS
        if not enough:
            self.report.check(what, f"{len(customers)} customers, not {contract.CUSTOMERS}", enough, NOT_SEEDED)
        return customers if enough else []

    async def functions_on(self, trigger: str) -> list[Function]:
        """The functions that an event or a cron starts. Reports whether there are any, and names a misspelt trigger."""
        functions = await self.engine.functions()
        found = [function for function in functions if trigger in function.triggers]
        others = sorted({name for function in functions for name in function.triggers})
        seen = ", ".join(function.id for function in found) or f"none; there are {', '.join(others) or 'no functions'}"
        similar = difflib.get_close_matches(trigger, others, n=1, cutoff=0.75)
        advice = NOT_SERVED if functions else NO_APP
        if similar:
            cause = (
                f"a typo: a function listens to {similar[0]!r}, so {trigger!r} wakes nobody; events are routed by name"
            )
            advice = Advice(cause, "webhooks")
        self.report.check(f"a function on {trigger!r}", seen, bool(found), advice)
        return found

    async def until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 0) -> T:
        """Ask again until the answer holds, for `seconds` or as long as the patience lasts. Returns the last answer."""
        loop = asyncio.get_running_loop()
        if self.build.die_after:
            await self.pulse.feel(self.engine, self.report)
        patience = seconds or self.build.patience
        deadline = loop.time() + patience
        passed = 0.0
        while True:
            answer = await ask()
            if holds(answer) or loop.time() > deadline or passed >= patience:
                return answer
            # A stand-in does not make anybody wait: the longer nothing happens, the further its clock is moved.
            if self.build.die_after and await self.pulse.feel(self.engine, self.report):
                # The engine calls again within a minute.
                deadline = loop.time() + patience + CALLED_AGAIN_SECONDS
                patience = passed + patience + CALLED_AGAIN_SECONDS
            pause = min(max(LOOK_SECONDS, passed), patience - passed) if self.engine.skips_time else LOOK_SECONDS
            await self.pass_time(seconds=pause)
            passed += pause

    async def send(self, name: str, data: dict[str, Any], event_id: str) -> str:
        """Send an event under an id of this check's own. Returns the engine's id of it."""
        return await self.engine.send(name, data, self.own(event_id))

    def own(self, event_id: str) -> str:
        """The id under which an event of this check is sent."""
        return f"gate-{self.mark}-{event_id}"

    async def ended(self, event: str, seconds: float = 0) -> list[Run]:
        """The runs of an event, as soon as all of them have ended or the time is up (see `until`)."""
        return await self.until(lambda: self.engine.runs_of(event), over, seconds)

    async def steps(self, runs: list[Run]) -> list[Step]:
        """The steps of these runs that have begun."""
        return [step for run in runs for step in await self.engine.steps(run.id)]

    async def work_steps(self, runs: list[Run]) -> list[Step]:
        """Those of their steps that run the build's code; a sleep, a wait or the hook's death does not."""
        return [step for step in await self.steps(runs) if step.op == "RUN" and step.name != DIE]

    async def waiting(self, event: str) -> tuple[list[Run], list[Step]]:
        """The runs of an event and their steps, as soon as one of these waits for an event or all runs have ended."""

        async def look() -> tuple[list[Run], list[Step]]:
            runs = await self.engine.runs_of(event)
            return runs, await self.steps(runs)

        def far_enough(seen: tuple[list[Run], list[Step]]) -> bool:
            runs, steps = seen
            return over(runs) or any(step.waits_now for step in steps)

        return await self.until(look, far_enough)

    def better(self, what: str, seen: str, advice: Advice) -> None:
        """Report what the course leaves so and the reference app does not: a failure with `beyond`, else a hint."""
        if self.build.beyond:
            self.report.check(what, seen, False, advice)
        else:
            self.report.hint(what, seen, advice)

    async def pass_time(self, **duration: float) -> None:
        """Let time pass, at once if the engine's clock can be moved. `duration` is as for `timedelta`."""
        if self.engine.skips_time:
            await self.engine.advance(timedelta(**duration))
        else:
            await asyncio.sleep(timedelta(**duration).total_seconds())


def told(counts: dict[str, int]) -> str:
    """Counts in words: "1 message_received, 1 message_sent"."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def step_names(steps: list[Step]) -> str:
    """The names of steps in their order."""
    return ", ".join(step.name for step in steps) or "no steps"


def step_attempts(steps: list[Step]) -> str:
    """How often each step was attempted, in words."""
    return told({step.name: len(step.attempts) for step in steps})


def states(runs: list[Run]) -> str:
    """How runs have ended, in words, with the error of one that failed."""
    return ", ".join(f"{run.function} {run.status.lower()}{_error(run)}" for run in runs) or "no run"


def _error(run: Run) -> str:
    if run.status != "FAILED" or not isinstance(run.output, dict):
        return ""
    error = run.output.get("error") if isinstance(run.output.get("error"), dict) else run.output
    message = str((error or {}).get("message") or "").strip()
    return f" ({message[:120]})" if message else ""


def reply_in(step: Step, email: str) -> str:
    """The reply among what a step returned: its longest text of several words that is not the email itself."""
    texts = [text for text in _texts(step.output) if len(text.split()) >= REPLY_WORDS and text not in email]
    return max(texts, key=len, default="").replace(email, "")


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    # A text that begins like this is the saved state of a paused run.
    return [value] if isinstance(value, str) and not value.startswith("{") else []


def over(runs: list[Run]) -> bool:
    """Whether there are runs and every one of them has ended."""
    return bool(runs) and all(run.over for run in runs)


def completed(runs: list[Run]) -> bool:
    """Whether there are runs and every one of them has completed."""
    return bool(runs) and all(run.status == "COMPLETED" for run in runs)
