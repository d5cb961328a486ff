"""What every gate works with: the engine, the rows, the report, and patience."""

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


@dataclass(frozen=True)
class World:
    """The surroundings of a build that is checked; `patience` in seconds is for one answer of its model."""

    engine: Engine
    rows: Rows
    report: Report
    patience: float = 60
    # Part of every id that is sent, so that no two checks meet the same event.
    mark: str = field(default_factory=lambda: uuid4().hex[:8])

    async def functions_on(self, trigger: str) -> list[Function]:
        """The functions that an event or a cron starts; reports whether there is one, and a near miss as such."""
        functions = await self.engine.functions()
        found = [function for function in functions if trigger in function.triggers]
        others = sorted({name for function in functions for name in function.triggers})
        near = difflib.get_close_matches(trigger, others, 1, 0.75)
        if near and not found:
            cause = (
                f"a typo: there is a function on {near[0]!r}; the name is the routing key, so {trigger!r} wakes nobody"
            )
        elif functions:
            cause = "the function is not in the list that is given to serve(), or the app was not restarted since"
        else:
            cause = "the engine knows no app: is it running, and was the engine started with -u …/api/inngest?"
        self.report.check(
            f"a function on {trigger!r}",
            ", ".join(function.id for function in found) or f"none; there are {', '.join(others) or 'no functions'}",
            bool(found),
            Advice(cause, "webhooks" if near else "events"),
        )
        return found

    async def until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 0) -> T:
        """Ask until it holds or the patience (or `seconds`) is at its end; the last answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (seconds or self.patience)
        while True:
            answer = await ask()
            if holds(answer) or loop.time() > deadline:
                return answer
            await asyncio.sleep(LOOK_SECONDS)

    async def send(self, name: str, data: dict[str, Any], event_id: str) -> str:
        """Send an event, its id made this check's own; the engine's id of it."""
        return await self.engine.send(name, data, self.own(event_id))

    def own(self, event_id: str) -> str:
        """The event id as it is sent."""
        return f"gate-{self.mark}-{event_id}"

    async def ended(self, event: str, seconds: float = 0) -> list[Run]:
        """The runs of an event, when all have ended or the patience has."""
        return await self.until(
            lambda: self.engine.runs_of(event), lambda runs: bool(runs) and all(run.over for run in runs), seconds
        )

    async def waiting(self, event: str) -> tuple[list[Run], list[Step]]:
        """The runs of an event and all their steps, when one waits for an event or all have ended."""

        async def look() -> tuple[list[Run], list[Step]]:
            runs = await self.engine.runs_of(event)
            return runs, [step for run in runs for step in await self.engine.steps(run.id)]

        def so_far(seen: tuple[list[Run], list[Step]]) -> bool:
            runs, steps = seen
            return bool(runs) and (all(run.over for run in runs) or any(is_open(step) for step in steps))

        return await self.until(look, so_far)

    async def pass_time(self, **duration: float) -> None:
        """Let time pass, at once where the engine's clock can be moved."""
        if self.engine.skips_time:
            await self.engine.advance(timedelta(**duration))
        else:
            await asyncio.sleep(timedelta(**duration).total_seconds())


def is_open(step: Step) -> bool:
    """Whether it waits for an event now."""
    return step.waits and step.attempts[-1].ended is None and step.status not in {"COMPLETED", "FAILED", "CANCELLED"}


def told(counts: dict[str, int]) -> str:
    """Counts as words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def states(runs: list[Run]) -> str:
    """How the runs ended, as words."""
    return ", ".join(f"{run.function} {run.status.lower()}" for run in runs) or "no run"
