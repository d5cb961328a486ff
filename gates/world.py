"""What every gate works with: the engine, the learner's rows, the report, and patience."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

from gates.engine import Engine, Function, Run
from gates.report import Advice, Report
from gates.rows import Rows
from gates.spans import Step

T = TypeVar("T")
LOOK_SECONDS = 0.25
NOT_SERVED = Advice(
    "the function is not in the list that is given to serve(), or the app was not restarted since", "events"
)
NO_APP = Advice("the engine knows no app: is it running, and was the engine started with -u …/api/inngest?", "events")


@dataclass(frozen=True)
class World:
    """The surroundings of the build that is checked.

    `patience` is for one answer of the build's model, in seconds. With `beyond`, what the reference app adds to the
    course is checked too. `mark` is part of every event id that is sent, so that no two checks meet the same event.
    """

    engine: Engine
    rows: Rows
    report: Report
    patience: float = 60
    beyond: bool = False
    mark: str = field(default_factory=lambda: uuid4().hex[:8])

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
        deadline = loop.time() + (seconds or self.patience)
        while True:
            answer = await ask()
            if holds(answer) or loop.time() > deadline:
                return answer
            await asyncio.sleep(LOOK_SECONDS)

    async def send(self, name: str, data: dict[str, Any], event_id: str) -> str:
        """Send an event under an id of this check's own. Returns the engine's id of it."""
        return await self.engine.send(name, data, self.own(event_id))

    def own(self, event_id: str) -> str:
        """The id under which an event of this check is sent."""
        return f"gate-{self.mark}-{event_id}"

    async def ended(self, event: str, seconds: float = 0) -> list[Run]:
        """The runs of an event, as soon as all of them have ended or the time is up (see `until`)."""
        return await self.until(
            lambda: self.engine.runs_of(event), lambda runs: bool(runs) and all(run.over for run in runs), seconds
        )

    async def steps(self, runs: list[Run]) -> list[Step]:
        """The steps of these runs that have begun."""
        return [step for run in runs for step in await self.engine.steps(run.id)]

    async def work_steps(self, runs: list[Run]) -> list[Step]:
        """Those of their steps that run the build's code; a sleep or a wait does not."""
        return [step for step in await self.steps(runs) if step.op == "RUN"]

    async def waiting(self, event: str) -> tuple[list[Run], list[Step]]:
        """The runs of an event and their steps, as soon as one of these waits for an event or all runs have ended."""

        async def look() -> tuple[list[Run], list[Step]]:
            runs = await self.engine.runs_of(event)
            return runs, await self.steps(runs)

        def far_enough(seen: tuple[list[Run], list[Step]]) -> bool:
            runs, steps = seen
            return bool(runs) and (all(run.over for run in runs) or any(step.waits_now for step in steps))

        return await self.until(look, far_enough)

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
    """How runs have ended, in words."""
    return ", ".join(f"{run.function} {run.status.lower()}" for run in runs) or "no run"


def completed(runs: list[Run]) -> bool:
    """Whether there are runs and every one of them has completed."""
    return bool(runs) and all(run.status == "COMPLETED" for run in runs)
