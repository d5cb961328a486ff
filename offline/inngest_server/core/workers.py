"""Workers that dialled in (Inngest calls it Connect): who gets a request, and for how long it is theirs.

A request is leased to its worker. When the connection ends, the lease runs on: the worker may come back and extend it,
or deliver its reply by another way. When the lease ends too, the attempt has failed and is retried, on whichever worker
is there. While no worker is connected, what is for one waits and costs no attempt.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .clock import Clock
from .live import Item
from .scheduler import Scheduler, Timer
from .state import Function

log = logging.getLogger("inngest_server")

URL = "wss://connect"
"""What the SDK registers as the address of a function that a worker serves."""

LEASE = 120.0
"""Seconds of the server's time for which a request belongs to its worker; each extension begins them anew."""

GRACE = 5.0
"""Seconds that a lease without a connection runs longer."""


class Answered(NamedTuple):
    """A worker's reply, in the terms of HTTP."""

    status: int
    headers: dict[str, str]
    """Names are in lower case."""
    body: bytes


class Unanswered(NamedTuple):
    """Why no worker gave an answer."""

    name: str
    message: str


@dataclass(eq=False)
class Worker(abc.ABC):
    """One connected worker; the view that holds its connection implements `ask`."""

    instance_id: str
    functions: set[str]
    """Slugs of the functions that it serves."""
    limit: int
    """Requests that it takes at once; 0 for any number."""
    ready: bool
    requests: set[str] = field(default_factory=set, kw_only=True)
    """Ids of the requests that it has and has not answered."""

    @abc.abstractmethod
    async def ask(self, item: Item, request_id: str, body: bytes, leased_until: float) -> None:
        """Send it a request, without waiting for the reply. Raises `ConnectionError` when it is gone."""


@dataclass(eq=False)
class _Pending:
    """One request that a worker has and has not answered."""

    task: asyncio.Task[None]
    reply: asyncio.Future[Answered | None]
    """Its result is None when the lease ended."""
    worker: Worker
    leased_until: float
    timer: Timer | None = None
    """Ends the lease; it is set while no connected worker has the request."""


class Workers:
    """All connected workers, and the requests that they have."""

    def __init__(self, clock: Clock, scheduler: Scheduler) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._pending: dict[str, _Pending] = {}
        self._freed = asyncio.Event()
        self.connected: list[Worker] = []
        """Oldest first."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called when a worker can take requests that nobody could take before; the engine sets it."""

    def can_serve(self, function: Function) -> bool:
        """Whether a worker is there that serves this function."""
        return bool(self._able(function.id))

    def join(self, worker: Worker) -> None:
        """Take a worker in; it gets requests once it is ready."""
        self.connected.append(worker)

    def became_ready(self, worker: Worker) -> None:
        """Give the worker requests from now on."""
        worker.ready = True
        self._freed.set()
        self.on_ready()

    def pause(self, worker: Worker) -> None:
        """Give the worker no new requests."""
        worker.ready = False
        self._freed.set()

    def leave(self, worker: Worker) -> None:
        """Forget a worker whose connection ended; the leases of its requests run on."""
        self.connected.remove(worker)
        self._freed.set()
        for request_id in worker.requests:
            self._lost(request_id, self._pending[request_id])

    async def call(self, item: Item, request_id: str, body: bytes) -> Answered | Unanswered:
        """Have a worker answer a request; return its reply, or why there is none."""
        worker = await self._choose(item.live.run.function.id)
        if worker is None:
            return Unanswered("connect_no_healthy_connection", "Could not find a healthy connection")
        task = asyncio.current_task()
        assert task is not None
        reply: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()
        pending = self._pending[request_id] = _Pending(task, reply, worker, self._clock.now() + LEASE)
        worker.requests.add(request_id)
        try:
            try:
                await worker.ask(item, request_id, body, pending.leased_until)
            except ConnectionError:
                self._lost(request_id, pending)
            answer = await pending.reply
        finally:
            del self._pending[request_id]
            if pending.timer:
                pending.timer.cancel()
            pending.worker.requests.discard(request_id)
            self._freed.set()
        if answer is None:
            return Unanswered("connect_worker_stopped_responding", "The worker stopped responding to the request.")
        return answer

    def answered(self, request_id: str, answer: Answered) -> None:
        """Take a worker's reply in; one that nobody waits for any more is dropped."""
        pending = self._pending.get(request_id)
        if pending is not None:
            self._settle(pending, answer)

    def extend(self, request_id: str, worker: Worker) -> float | None:
        """Lease the request to this worker anew; return until when, or None when nobody waits for it any more."""
        pending = self._pending.get(request_id)
        if pending is None or pending.reply.done():
            return None
        pending.worker.requests.discard(request_id)
        pending.worker = worker
        worker.requests.add(request_id)
        self._found(pending)
        pending.leased_until = self._clock.now() + LEASE
        return pending.leased_until

    async def _choose(self, function_id: str) -> Worker | None:
        """The least busy worker that has the function, once one has room; None when none is connected."""
        while True:
            able = self._able(function_id)
            if not able:
                return None
            free = [worker for worker in able if not worker.limit or len(worker.requests) < worker.limit]
            if free:
                return min(free, key=lambda worker: len(worker.requests))
            self._freed.clear()
            await self._freed.wait()

    def _able(self, function_id: str) -> list[Worker]:
        return [worker for worker in self.connected if worker.ready and function_id in worker.functions]

    def _lost(self, request_id: str, pending: _Pending) -> None:
        """Begin to wait for the lease's end. The request no longer counts as in flight, so that time can be skipped."""
        if pending.timer is not None or pending.reply.done():
            return

        def expire() -> None:
            log.warning("connect: request %s was lost with its worker", request_id)
            self._settle(pending, None)

        pending.timer = self._scheduler.call_at(pending.leased_until + GRACE, expire)
        self._scheduler.park(pending.task)

    def _found(self, pending: _Pending) -> None:
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
            self._scheduler.unpark(pending.task)

    def _settle(self, pending: _Pending, answer: Answered | None) -> None:
        self._found(pending)
        if not pending.reply.done():
            pending.reply.set_result(answer)
