"""Timers on the server's clock, and the knowledge of whether anything is still happening.

Skipping time is only safe between two things that happen: `advance` moves from one due timer to the next in the
order of their times, and before each hop it waits until every request that the last one caused is answered.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .clock import Clock

log = logging.getLogger("inngest_server")


class Timer:
    """A callback that fires once; `cancel` makes it never fire."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback (also drops what it refers to)."""
        self.callback = None


class Scheduler:
    """Fires timers in the order of their times, in real time or faster. Belongs to one running event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fired = 0
        """Timers fired since the start."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._wakeup: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._advancing = asyncio.Lock()
        self._closed = False

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `when` (seconds on the server's clock), at once when that is past."""
        timer = Timer(when, callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if self._heap[0][2] is timer:
            self._arm()
        return timer

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `seconds` of the server's time."""
        return self.call_at(self.clock.now() + seconds, callback)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as something that is in flight until it ends; `settle` waits for it."""
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._ended)

    def park(self, task: asyncio.Task[None]) -> None:
        """Count a spawned task as not in flight: nothing but time, or somebody from outside, can end its wait."""
        self._tasks.discard(task)
        if not self._tasks:
            self._quiet.set()

    def unpark(self, task: asyncio.Task[None]) -> None:
        """Count a parked task as in flight again; call it before what ends its wait."""
        if not task.done():
            self._tasks.add(task)
            self._quiet.clear()

    async def settle(self, timeout: float = 120.0) -> None:  # noqa: ASYNC109
        """Return when nothing is in flight and nothing is due now.

        Raises `TimeoutError` after `timeout` seconds of real time: a step hangs, or a function calls itself
        without end and without sleeping.
        """
        async with asyncio.timeout(timeout):
            while self._tasks or self._due():
                self._fire_due()
                await self._quiet.wait()
                await asyncio.sleep(0)

    async def advance(self, seconds: float, timeout: float = 120.0) -> int:  # noqa: ASYNC109
        """Move the clock forward by `seconds`, firing everything that falls due in order; return how many fired.

        What happens meanwhile may plan more; it fires too when it is due by the target time. `timeout` bounds,
        in seconds of real time, the wait between two hops; `TimeoutError` as in `settle`.
        """
        if seconds < 0:
            raise ValueError("time only moves forward: seconds must not be negative")
        async with self._advancing:
            before = self.fired
            target = self.clock.now() + seconds
            await self.settle(timeout)
            while (upcoming := self._peek()) is not None and upcoming <= target:
                self.clock.jump_to(upcoming)
                self._fire_due()
                await self.settle(timeout)
            self.clock.jump_to(target)
            await self.settle(timeout)
            self._arm()
            return self.fired - before

    @property
    def in_flight(self) -> int:
        """How many pieces of work have not ended."""
        return len(self._tasks)

    async def close(self) -> None:
        """Stop firing and cancel what is in flight."""
        self._closed = True
        self._heap.clear()
        if self._wakeup:
            self._wakeup.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("internal error", exc_info=error)
        if not self._tasks:
            self._quiet.set()

    def _peek(self) -> float | None:
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _due(self) -> bool:
        upcoming = self._peek()
        return upcoming is not None and upcoming <= self.clock.now()

    def _fire_due(self) -> None:
        while self._due():
            callback = heapq.heappop(self._heap)[2].callback
            if callback is not None:
                self.fired += 1
                try:
                    callback()
                except Exception:
                    log.exception("internal error")
        self._arm()

    def _arm(self) -> None:
        if self._wakeup:
            self._wakeup.cancel()
            self._wakeup = None
        upcoming = self._peek()
        if upcoming is not None and not self._closed:
            # Long waits are re-armed daily: a loop's own timers are only exact for so long.
            delay = min(max(0.0, upcoming - self.clock.now()), 86_400.0)
            self._wakeup = asyncio.get_running_loop().call_later(delay, self._fire_due)
