"""Timers on the server's clock, and the knowledge of whether anything is still happening.

Time may be skipped only while nothing happens. So `advance` goes from one timer to the next in the order of their
times, and before each hop it waits until everything that the last timer caused has ended.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .clock import Clock

PATIENCE = 120.0
"""Seconds of real time that `settle` waits, and `advance` before each hop, for what is in flight."""

log = logging.getLogger("inngest_server")


class Timer:
    """A callback that fires once; `cancel` makes it never fire."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback, and with it what the callback refers to."""
        self.callback = None


class Scheduler:
    """Fires timers in the order of their times, in real time or faster. Belongs to one running event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fired = 0
        """How many timers have fired."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._wakeup: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._advancing = asyncio.Lock()
        self._closed = False

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `when` (seconds since the epoch), or as soon as possible when that is past."""
        timer = Timer(when, callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if self._heap[0][2] is timer:
            self._arm()
        return timer

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `seconds` of the server's time."""
        return self.call_at(self.clock.now() + seconds, callback)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; until it ends it is in flight, and `settle` waits for it."""
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._ended)

    def park(self, task: asyncio.Task[None]) -> None:
        """Count a spawned task as not in flight, because only time or somebody outside can end its wait."""
        self._tasks.discard(task)
        if not self._tasks:
            self._quiet.set()

    def unpark(self, task: asyncio.Task[None]) -> None:
        """Count a parked task as in flight again. Call this before what ends its wait."""
        if not task.done():
            self._tasks.add(task)
            self._quiet.clear()

    async def settle(self) -> None:
        """Return when nothing is in flight and nothing is due now.

        Raises `TimeoutError` after `PATIENCE`: a step hangs, or a function starts itself without end.
        """
        async with asyncio.timeout(PATIENCE):
            while self._tasks or self._due():
                self._fire_due()
                await self._quiet.wait()
                await asyncio.sleep(0)

    async def advance(self, seconds: float) -> int:
        """Move the clock forward by `seconds`, firing everything that falls due in order; return how many fired.

        What is planned meanwhile fires too when it is due by the target time. Raises `ValueError` for a negative
        number and `TimeoutError` as `settle` does.
        """
        if seconds < 0:
            raise ValueError("time only moves forward: seconds must not be negative")
        async with self._advancing:
            before = self.fired
            target = self.clock.now() + seconds
            await self.settle()
            while (upcoming := self._peek()) is not None and upcoming <= target:
                self.clock.jump_to(upcoming)
                self._fire_due()
                await self.settle()
            self.clock.jump_to(target)
            await self.settle()
            self._arm()
            return self.fired - before

    @property
    def in_flight(self) -> int:
        """How many spawned pieces of work have not ended."""
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
            # A longer wait is armed anew each day, because an event loop's own timers are not exact for longer.
            delay = min(max(0.0, upcoming - self.clock.now()), 86_400.0)
            self._wakeup = asyncio.get_running_loop().call_later(delay, self._fire_due)
