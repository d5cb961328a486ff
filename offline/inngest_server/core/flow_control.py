"""Decides what an event may start, before there is a run: dedupe, idempotency, rate limit, debounce, batch, singleton.

Throttle and concurrency delay a run that exists; they are in `work_queue.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from ulid import ULID

from . import expressions
from .clock import Clock
from .live import LiveRun
from .scheduler import Scheduler, Timer
from .state import Event, Function
from .work_queue import Gcra

DAY = 86_400.0
"""Seconds for which a repeated event id starts nothing."""

_DEFAULT_BATCH_TIMEOUT = 60.0
"""Seconds."""

_MAX_PRIORITY = 600
"""Seconds by which an expression can make a run older or younger."""

Start = Callable[[Function, list[Event], str | None], object]
"""`start(function, events, batch_id)` makes a run; `batch_id` is None without a batch."""


@dataclass(slots=True)
class _Debounce:
    event: Event
    timer: Timer
    deadline: float | None


@dataclass(slots=True)
class _Batch:
    events: list[Event]
    timer: Timer


def _scope(function: Function, key: str | None, event: Event) -> tuple[str, str]:
    return function.id, expressions.key_of(key, event.payload())


def limits_of(function: Function, event: Event) -> list[tuple[str, int]]:
    """The concurrency pools of a run and their sizes, the keyed ones first."""
    pools = []
    for setting in sorted(function.flow.concurrency, key=lambda c: c.key is None):
        if setting.limit <= 0:
            continue
        value = expressions.key_of(setting.key, event.payload())
        owner = function.id if setting.scope == "fn" else setting.scope
        pools.append((f"{owner}|{setting.key or ''}|{value}", setting.limit))
    return pools


def throttle_key_of(function: Function, event: Event) -> str | None:
    """The bucket a run's start is counted in; None without a throttle."""
    throttle = function.flow.throttle
    return "|".join(_scope(function, throttle["key"], event)) if throttle else None


def priority_of(function: Function, event: Event) -> int:
    """Seconds by which the run counts as older, -600 to 600; 0 when the expression yields no integer.

    All numbers of an event are floats here, as on the official server: `event.data.p` is 0, `int(event.data.p)` is p.
    """
    if not function.flow.priority:
        return 0
    payload = json.loads(json.dumps(event.payload()), parse_int=float)
    try:
        value = expressions.compile_expression(function.flow.priority).evaluate({"event": payload})
    except ValueError:
        return 0
    return max(-_MAX_PRIORITY, min(_MAX_PRIORITY, value)) if type(value) is int else 0


class FlowControl:
    """Admits events to functions, and remembers what it has admitted."""

    def __init__(self, clock: Clock, scheduler: Scheduler, start: Start, cancel: Callable[[LiveRun], None]) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._start = start
        self._cancel = cancel
        self._seen: dict[tuple[str, str], float] = {}
        """Until when an event id, by function, starts nothing."""
        self._rates: dict[tuple[str, str, str], Gcra] = {}
        self._debounces: dict[tuple[str, str], _Debounce] = {}
        self._batches: dict[tuple[str, str], _Batch] = {}
        self._singletons: dict[str, LiveRun] = {}

    def admit(self, function: Function, event: Event) -> None:
        """Start a run for `event` now, later, together with others, or not at all.

        As on the official server, an event whose sender repeats an id counts again in a batch and in a debounce.
        """
        flow = function.flow
        if flow.batch and expressions.holds(flow.batch["if"], {"event": event.payload()}):
            if not self._is_duplicate(function, event.internal_id):
                self._batch(function, event)
        elif flow.debounce:
            if not self._rate_limited(function, event):
                self._debounce(function, event)
        elif not self._is_duplicate(function, event.id) and not self._rate_limited(function, event):
            self._start(function, [event], None)

    def enter_singleton(self, live: LiveRun) -> bool:
        """Say whether the run may start. In cancel mode it may, and the one that is running is cancelled."""
        function = live.run.function
        singleton = function.flow.singleton
        if not singleton:
            return True
        key = "|".join(_scope(function, singleton["key"], live.run.event))
        current = self._singletons.get(key)
        if current is not None and not current.run.status.ended:
            if singleton["mode"] != "cancel":
                return False
            self._cancel(current)
        live.singleton_key = key
        self._singletons[key] = live
        return True

    def leave_singleton(self, live: LiveRun) -> None:
        """Let the next run in after this one has ended."""
        if live.singleton_key and self._singletons.get(live.singleton_key) is live:
            del self._singletons[live.singleton_key]

    def _is_duplicate(self, function: Function, event_id: str) -> bool:
        now = self._clock.now()
        key = (function.id, event_id)
        if self._seen.get(key, 0.0) > now:
            return True
        self._seen[key] = now + DAY
        if len(self._seen) % 10_000 == 0:
            self._seen = {k: until for k, until in self._seen.items() if until > now}
        return False

    def _rate_limited(self, function: Function, event: Event) -> bool:
        flow = function.flow
        if flow.idempotency and not self._take(function, "idempotency", flow.idempotency, 1, DAY, event):
            return True
        rate = flow.rate_limit
        if rate is None:
            return False
        return not self._take(function, "rate", rate["key"], rate["limit"], rate["period"], event)

    def _take(self, function: Function, kind: str, key: str | None, limit: int, period: float, event: Event) -> bool:
        scope = (kind, *_scope(function, key, event))
        # The official server lets a tenth of the limit through at once, and spaces the rest evenly.
        interval, capacity = period / max(limit, 1), limit // 10 + 1
        rate = self._rates.get(scope)
        if rate is None or (rate.interval, rate.capacity) != (interval, capacity):
            rate = self._rates[scope] = Gcra(interval, capacity)
        return rate.take(self._clock.now())

    def _debounce(self, function: Function, event: Event) -> None:
        settings = function.flow.debounce
        assert settings is not None
        scope = _scope(function, settings["key"], event)
        now = self._clock.now()
        waiting = self._debounces.get(scope)
        if waiting is None:
            deadline = now + settings["timeout"] if settings["timeout"] else None
        else:
            waiting.timer.cancel()
            deadline = waiting.deadline
        due = now + settings["period"]

        def fire() -> None:
            last = self._debounces.pop(scope)
            self._start(function, [last.event], None)

        timer = self._scheduler.call_at(min(due, deadline) if deadline else due, fire)
        self._debounces[scope] = _Debounce(event, timer, deadline)

    def _batch(self, function: Function, event: Event) -> None:
        settings = function.flow.batch
        assert settings is not None
        scope = _scope(function, settings["key"], event)
        batch = self._batches.get(scope)

        def fire() -> None:
            full = self._batches.pop(scope)
            full.timer.cancel()
            self._start(function, full.events, str(ULID.from_timestamp(self._clock.now())))

        if batch is None:
            timer = self._scheduler.call_in(settings["timeout"] or _DEFAULT_BATCH_TIMEOUT, fire)
            batch = self._batches[scope] = _Batch([], timer)
        batch.events.append(event)
        if len(batch.events) >= settings["maxSize"]:
            fire()
