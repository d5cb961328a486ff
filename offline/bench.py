"""`python -m offline.bench` measures how fast engine and app are together, and how much processor time an email takes.

The email handler is measured beside a function of three steps that do nothing, in the same process and the same minute,
so that a slow machine slows both. Nothing fails for being slow.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from offline import emails
from offline.demo.engine import Engine, Event
from offline.demo.records import Records
from offline.demo.timeline import console_for
from offline.postgres import PostgresError
from offline.signals import end_on_signals
from offline.stack import RULE_BASED, Stack, StackError

EMAILS, APPROVALS, WARM_UP = 200, 30, 20
BATCH = 100
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
# Concurrency is as in the course. The throttle is raised, since otherwise only the throttle would be measured.
SETTINGS = RULE_BASED | {"EMAIL_THROTTLE_PER_MINUTE": "60000"}


@dataclass
class Load:
    """How long a number of runs took."""

    runs: int
    seconds: float
    cpu_seconds: float
    """The processor time of the app's process."""

    @property
    def rate(self) -> str:
        """Runs per second, as text."""
        return f"{self.runs / self.seconds:.0f} per second"

    @property
    def cost(self) -> str:
        """Processor time of the app per run, as text."""
        return f"{self.cpu_seconds / self.runs * 1000:.1f} ms"


class Bench:
    """Measures a running stack. Every method raises StackError when the runs take longer than two minutes."""

    def __init__(self, stack: Stack, engine: Engine, records: Records) -> None:
        self.stack = stack
        self.engine = engine
        self.records = records

    async def floor(self, runs: int) -> Load:
        """Measure the floor: what the two SDKs alone cost for the same emails."""

        async def finished() -> int:
            return int((await self.stack.http.get(f"{self.stack.app_url}/bench/finished")).text)

        return await self._load(await self._plain_emails("bench/floor", runs), finished)

    async def emails(self, runs: int) -> Load:
        """Measure plain emails from all customers, until they are answered."""

        async def answered() -> int:
            return (await self.records.actions(0))["message_sent"]

        return await self._load(await self._plain_emails("customer/email.received", runs), answered)

    async def _plain_emails(self, name: str, runs: int) -> list[Event]:
        customers = await self.records.customers()
        written = [emails.BURST[number % len(emails.BURST)] for number in range(runs)]
        return [Event(name, {"customer_id": customers[email.customer], "email_text": email.text}) for email in written]

    async def approvals(self, runs: int) -> list[float]:
        """Measure the seconds from an approval event to the issued refund in the ledger, one refund after the other."""
        customers = list((await self.records.customers()).values())
        events = []
        for number in range(runs):
            text = f"I was charged twice for order BENCH-{number:03}, $5.00 each time."
            data = {"customer_id": customers[number % len(customers)], "email_text": text}
            events.append(Event("customer/email.received", data))
        await self.engine.send(*events)
        await self._until(lambda: self._refunds("pending"), runs)
        # A row is written beside the wait, so the wait of the last run may begin a moment after its row is there.
        await asyncio.sleep(1)
        took = []
        for number, event in enumerate(events):
            started = time.perf_counter()
            decision = {"approved": True, "customer_id": event.data["customer_id"], "request_id": event.id}
            await self.engine.send(Event("refund/approval.decided", decision))
            await self._until(lambda: self._refunds("issued"), number + 1, pause=0.001)
            took.append(time.perf_counter() - started)
        return took

    async def _refunds(self, status: str) -> int:
        return len([row for row in await self.records.refunds() if row["status"] == status])

    async def _load(self, events: list[Event], count: Callable[[], Awaitable[int]]) -> Load:
        before, cpu = await count(), self.stack.app.cpu_seconds()
        started = time.perf_counter()
        for start in range(0, len(events), BATCH):
            await self.engine.send(*events[start : start + BATCH])
        await self._until(count, before + len(events))
        return Load(len(events), time.perf_counter() - started, self.stack.app.cpu_seconds() - cpu)

    async def _until(self, count: Callable[[], Awaitable[int]], wanted: int, pause: float = LOOK_SECONDS) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (reached := await count()) < wanted:
            if time.monotonic() > deadline:
                raise StackError(f"after {PATIENCE_SECONDS:.0f} s {reached} of {wanted} are done\n{self.stack.logs()}")
            await asyncio.sleep(pause)


def main() -> int:
    """Measure and print. Returns 0, or 1 when something did not work, or 130 when it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m offline.bench", description=__doc__)
    parser.add_argument("--engine", metavar="URL", help="use an official dev server that runs at URL")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, to see that it works")
    try:
        asyncio.run(_run(parser.parse_args()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped; nothing is left running.")
        return 130
    except (StackError, PostgresError, httpx.HTTPError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    end_on_signals()
    console = console_for()
    share = 10 if options.quick else 1
    stack = Stack(SETTINGS, engine_url=(options.engine or "").rstrip("/"), app="offline.bench_app:app")
    console.print("Starting Postgres, the engine and the app ...")
    async with stack:
        records = await Records.open(stack.postgres.url)
        if options.engine:
            await records.rename_customers(uuid4().hex[:6])
        (await stack.http.put(f"{stack.app_url}/api/bench")).raise_for_status()
        bench = Bench(stack, Engine(stack.engine_url, stack.http), records)
        console.print("Measuring ...")
        await bench.floor(WARM_UP)
        await bench.emails(WARM_UP)
        steps = await bench.floor(EMAILS // share)
        answered = await bench.emails(EMAILS // share)
        took = sorted(await bench.approvals(APPROVALS // share))
        records.close()
    _print(console, options.engine or "the stand-in", steps, answered, took)


def _print(console: Console, engine: str, steps: Load, answered: Load, took: list[float]) -> None:
    median, late = statistics.median(took), took[int(len(took) * 0.95)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("", "Throughput", "The app's CPU time"):
        table.add_column(heading)
    table.add_row(f"{steps.runs} runs of the floor: three steps and a plain agent", steps.rate, f"{steps.cost} per run")
    table.add_row(f"{answered.runs} emails received, read and answered", answered.rate, f"{answered.cost} per email")
    console.print("", table)
    approvals = (
        f"From approval event to refund row: median {median * 1000:.0f} ms, 95th percentile {late * 1000:.0f} ms"
        f" ({len(took)} refunds)."
    )
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    where = f"Engine: {engine}. Machine: {machine}; concurrency as in the course."
    console.print("", approvals, where, sep="\n", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
