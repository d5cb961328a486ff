"""Decides when a request may be made: a throttle first, then concurrency slots.

A request needs a slot in each of its pools. It asks them from the most specific (a key's) to the widest (the server's),
and waits at the first that is full, ordered by its run's age and priority. So the backlog of a busy key waits at that
key's own pool, where it cannot stand in front of another key's first request. A slot that becomes free wakes the
widest pool first. Every move costs O(log n).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .clock import Clock
from .live import Item
from .scheduler import Scheduler, Timer

MAX_REQUESTS = 100
"""Requests to all apps at once."""

_SERVER = ("server", MAX_REQUESTS)
_EPSILON = 1e-6
"""Seconds by which a timer may fire too early because of rounding."""

_Heap = list[tuple[tuple[int, float], int, Item]]


@dataclass(slots=True)
class Gcra:
    """The generic cell rate algorithm: `capacity` at once, then one per `interval` seconds."""

    interval: float
    capacity: int
    busy_until: float = 0.0
    """When everything that was taken so far will have been worked off."""

    def next_at(self, now: float) -> float:
        """The earliest time at which one more is allowed; it is not later than `now` when one is allowed at once."""
        return max(self.busy_until, now) + self.interval * (1 - self.capacity)

    def take(self, now: float) -> bool:
        """Take one and return True, or return False when none is allowed."""
        if self.next_at(now) > now + _EPSILON:
            return False
        self.busy_until = max(self.busy_until, now) + self.interval
        return True


@dataclass(slots=True)
class _Throttle:
    rate: Gcra
    waiting: _Heap = field(default_factory=list)
    timer: Timer | None = None


class WorkQueue:
    """Holds what cannot be sent yet; calls `dispatch(item)` for what can. `release` it when it is done.

    What nobody could answer now (`reachable(item)` is False) waits without taking a slot, until `reconsider`.
    """

    def __init__(
        self, clock: Clock, scheduler: Scheduler, reachable: Callable[[Item], bool], dispatch: Callable[[Item], None]
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._reachable = reachable
        self._dispatch = dispatch
        self._order = itertools.count()
        self._used: dict[str, int] = {}
        """How many slots of each pool are taken."""
        self._waiting: dict[str, _Heap] = {}
        """What waits at each pool that is full."""
        self._throttles: dict[str, _Throttle] = {}
        self._held: list[Item] = []
        """What nobody could answer."""

    def push(self, item: Item) -> None:
        """Send `item` as soon as throttle and concurrency allow."""
        settings = item.live.run.function.flow.throttle
        if item.first and settings and item.live.throttle_key is not None:
            self._throttle(item, item.live.throttle_key, settings["limit"], settings["period"], settings["burst"])
        else:
            self._admit(item)

    def release(self, item: Item) -> None:
        """Give the item's slots back and let the next ones in."""
        keys = [key for key, _ in reversed(self._pools(item))]
        for key in keys:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]
        self._wake(keys)

    def reconsider(self) -> None:
        """Let in what nobody could answer before."""
        held, self._held = self._held, []
        for item in held:
            self._admit(item)

    def _pools(self, item: Item) -> list[tuple[str, int]]:
        return [*item.live.limits, _SERVER]

    def _entry(self, item: Item, *, widened: bool = False) -> tuple[tuple[int, float], int, Item]:
        return (item.order(widened), next(self._order), item)

    def _admit(self, item: Item) -> None:
        if not self._reachable(item):
            self._held.append(item)
            return
        pools = self._pools(item)
        for number, (key, limit) in enumerate(pools):
            if self._used.get(key, 0) >= limit:
                entry = self._entry(item, widened=number > 0)
                heapq.heappush(self._waiting.setdefault(key, []), entry)
                return
        for key, _ in pools:
            self._used[key] = self._used.get(key, 0) + 1
        self._dispatch(item)

    def _wake(self, keys: list[str]) -> None:
        todo = deque(keys)
        while todo:
            key = todo.popleft()
            heap = self._waiting.get(key)
            # There is one candidate per free slot. One that moves on to wait at a wider pool counts for the slot
            # that it will take here later, and whose end will wake this pool again.
            candidates: int | None = None
            while heap:
                item = heap[0][2]
                if item.live.run.status.ended:
                    heapq.heappop(heap)
                    todo.extend(k for k, _ in self._pools(item) if k != key)
                    continue
                if candidates is None:
                    limit = next(size for name, size in self._pools(item) if name == key)
                    candidates = limit - self._used.get(key, 0)
                if candidates <= 0:
                    break
                heapq.heappop(heap)
                candidates -= 1
                if key == self._pools(item)[0][0]:
                    item.moved_at = self._clock.now()
                self._admit(item)
            if heap is not None and not heap:
                self._waiting.pop(key, None)

    def _throttle(self, item: Item, key: str, limit: int, period: float, burst: int | None) -> None:
        capacity = max(limit, 1) + (burst or 0)
        interval = period / max(limit, 1)
        throttle = self._throttles.get(key)
        if throttle is None:
            throttle = self._throttles[key] = _Throttle(Gcra(interval, capacity))
        elif (throttle.rate.interval, throttle.rate.capacity) != (interval, capacity):
            throttle.rate = Gcra(interval, capacity, throttle.rate.busy_until)
        heapq.heappush(throttle.waiting, self._entry(item))
        if throttle.timer is None:
            self._drain(key)

    def _drain(self, key: str) -> None:
        throttle = self._throttles[key]
        throttle.timer = None
        now = self._clock.now()
        while throttle.waiting:
            if throttle.waiting[0][2].live.run.status.ended:
                heapq.heappop(throttle.waiting)
            elif throttle.rate.take(now):
                self._admit(heapq.heappop(throttle.waiting)[2])
            else:
                when = throttle.rate.next_at(now)
                throttle.timer = self._scheduler.call_at(when, lambda: self._drain(key))
                return
        if throttle.rate.busy_until <= now:
            del self._throttles[key]
