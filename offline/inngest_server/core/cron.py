"""When cron triggers fire: every schedule of every synced function has one timer, for its next tick.

The id of a tick's event is the tick's own time, so that a tick that is delivered twice starts one run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from .clock import Clock
from .scheduler import Scheduler, Timer
from .state import Function, Trigger

log = logging.getLogger("inngest_server")


def split_zone(schedule: str) -> tuple[ZoneInfo, str]:
    """Split `TZ=Europe/Paris 0 9 * * *` into zone and schedule; the zone is UTC when none is named.

    Raises `ValueError` for an unknown zone.
    """
    for prefix in ("TZ=", "CRON_TZ="):
        if schedule.startswith(prefix):
            zone, _, rest = schedule.removeprefix(prefix).partition(" ")
            try:
                return ZoneInfo(zone), rest.strip()
            except (KeyError, OSError) as error:
                raise ValueError(f"unknown time zone: {zone}") from error
    return ZoneInfo("UTC"), schedule


def check(schedule: str) -> None:
    """Raise `ValueError` or `CronSimError` for a schedule that cannot be read."""
    zone, rest = split_zone(schedule)
    CronSim(rest, datetime.now(zone))


def next_tick(schedule: str, after: float) -> float:
    """The first tick later than `after`, in seconds since the epoch. Raises `StopIteration` when there is none."""
    zone, rest = split_zone(schedule)
    start = datetime.fromtimestamp(after, zone)
    return next(CronSim(rest, start)).timestamp()


def tick_id(tick: float) -> str:
    """The event id of a tick, e.g. `2026-11-20T09:00:00Z`."""
    return datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Crons:
    """Keeps one timer per function and schedule, and calls `fire(function, schedule, tick)`.

    `jitter` draws a number from 0 to 1: the share of a trigger's jitter by which a tick is late.
    """

    def __init__(
        self,
        clock: Clock,
        scheduler: Scheduler,
        fire: Callable[[Function, str, float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._fire = fire
        self._jitter = jitter
        self._timers: dict[tuple[str, str], Timer] = {}
        self._functions: dict[str, Function] = {}

    def sync(self, functions: list[Function], archived: list[Function]) -> None:
        """Follow a sync: new schedules start, gone ones stop, kept ones keep their next tick."""
        for function in archived:
            self._functions.pop(function.id, None)
        for function in functions:
            self._functions[function.id] = function
        wanted: dict[tuple[str, str], Trigger] = {}
        for function in self._functions.values():
            for trigger in function.triggers:
                if trigger.cron:
                    wanted[function.id, trigger.cron] = trigger
        for gone in self._timers.keys() - wanted.keys():
            self._timers.pop(gone).cancel()
        for (function_id, schedule), trigger in wanted.items():
            if (function_id, schedule) not in self._timers:
                self._plan(function_id, trigger, schedule, self._clock.now())

    def _plan(self, function_id: str, trigger: Trigger, schedule: str, after: float) -> None:
        try:
            tick = next_tick(schedule, after)
        except StopIteration:
            log.warning("cron %s of %s never fires", schedule, function_id)
            return
        late = self._jitter() * trigger.jitter

        def fire() -> None:
            self._plan(function_id, trigger, schedule, tick)
            self._fire(self._functions[function_id], schedule, tick)

        self._timers[function_id, schedule] = self._scheduler.call_at(tick + late, fire)
