"""`python -m offline.bench` measures what an email costs: processor time, trips to the database, and seconds.

The email handler is measured beside the floor, what the two SDKs cost alone (`bench_app.py`), in the same process and
the same minute, so that a slow machine slows both. What it comes to is compared with `bench_accepted.json`. Nothing
fails for being slow.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from offline import emails
from offline.demo.engine import Engine, Event
from offline.demo.records import Records
from offline.demo.timeline import console_for
from offline.far_postgres import FarPostgres
from offline.postgres import PostgresError
from offline.signals import end_on_signals
from offline.stack import RULE_BASED, Stack, StackError

EMAILS, ROUNDS, APPROVALS, WARM_UP, COUNTED = 100, 5, 30, 20, 10
BATCH = 100
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
FAR_SECONDS = 0.020
# Concurrency is as in the course. The throttle is raised, since otherwise only the throttle would be measured.
SETTINGS = RULE_BASED | {"EMAIL_THROTTLE_PER_MINUTE": "60000"}
ACCEPTED = Path(__file__).with_name("bench_accepted.json")
# A ratio of processor times still varies by this much from run to run.
TOLERANCE = 1.1
AT_ONCE, PROCESSES = (1, 10, 100), (1, 2, 4)
# Refunds as runs leave them that wait for their approval: the rows of the email and of the request.
WAIT = """
    with emails as (
        insert into audit_log (action, key, run_id, customer_id, detail)
        select 'message_received', 'waits-' || number || ':audit-received', 'waits-' || number,
               'cust_00' || 1 + number % 5, '{"email_text": "I was charged twice."}'
        from generate_series(1, $1::int) number returning run_id, customer_id
    )
    insert into refunds (run_id, request_id, call_id, customer_id, order_id, amount_cents, reason, digest, expires_at)
    select run_id, 'event-' || run_id, 'call', customer_id, 'ORDER-' || run_id, 500, 'Charged twice', '',
           now() + interval '4 hours'
    from emails
"""
# Customers whose tier includes the health check.
ENTERPRISE = """
    insert into customers (id, email, tier)
    select 'fan-' || number, 'fan-' || number || '@example.com', 'enterprise' from generate_series(1, $1::int) number
    on conflict do nothing
"""
CHECKED = "select count(*) from audit_log where action = 'health_check'"


@dataclass
class Load:
    """How long a number of runs took."""

    runs: int
    seconds: float
    cpu_seconds: float
    """The processor time of the app's processes."""

    @property
    def milliseconds(self) -> float:
        """Processor time of the app per run."""
        return self.cpu_seconds / self.runs * 1000


@dataclass
class Growth:
    """What emails cost that come at once."""

    processes: int
    at_once: int
    milliseconds: float
    """The processor time of the app's processes per email."""
    seconds: float
    """Until 95 % of them are answered."""
    trips: float
    """To the database, per email."""


class Bench:
    """Measures a running stack. Every method raises StackError when the runs take longer than two minutes."""

    def __init__(self, stack: Stack, engine: Engine, records: Records) -> None:
        self.stack = stack
        self.engine = engine
        self.records = records
        self.orders = 0

    async def floor(self, runs: int) -> Load:
        """Measure the floor, for plain emails from all customers."""

        async def finished() -> int:
            return int((await self.stack.http.get(f"{self.stack.app_url}/bench/finished")).text)

        return await self._load(await self._plain_emails("bench/floor", runs), finished)

    async def emails(self, runs: int) -> Load:
        """Measure the same emails, until they are answered."""
        return await self._load(await self._plain_emails("customer/email.received", runs), self._answered)

    async def _answered(self) -> int:
        return (await self.records.actions(0))["message_sent"]

    async def _plain_emails(self, name: str, runs: int) -> list[Event]:
        customers = await self.records.customers()
        written = [emails.BURST[number % len(emails.BURST)] for number in range(runs)]
        return [Event(name, {"customer_id": customers[email.customer], "email_text": email.text}) for email in written]

    async def one_by_one(self, runs: int) -> list[float]:
        """Measure the seconds from an email's event to its `message_sent` row, one email after the other."""
        took = []
        for event in await self._plain_emails("customer/email.received", runs):
            before, started = await self._answered(), time.perf_counter()
            await self.engine.send(event)
            await self._until(self._answered, before + 1, pause=0.001)
            took.append(time.perf_counter() - started)
        return took

    async def approvals(self, runs: int) -> list[float]:
        """Measure the seconds from an approval event to the issued refund in the ledger, one refund after the other.

        Afterwards every email is answered.
        """
        customers = list((await self.records.customers()).values())
        events = []
        for number in range(runs):
            self.orders += 1
            text = f"I was charged twice for order BENCH-{self.orders:03}, $5.00 each time."
            data = {"customer_id": customers[number % len(customers)], "email_text": text}
            events.append(Event("customer/email.received", data))
        issued, answered = await self._refunds("issued"), await self._answered()
        await self.engine.send(*events)
        await self._until(lambda: self._refunds("pending"), runs)
        # A row is written beside the wait, so the wait of the last run may begin a moment after its row is there.
        await asyncio.sleep(1)
        took = []
        for number, event in enumerate(events, start=1):
            started = time.perf_counter()
            decision = {"approved": True, "customer_id": event.data["customer_id"], "request_id": event.id}
            await self.engine.send(Event("refund/approval.decided", decision))
            await self._until(lambda: self._refunds("issued"), issued + number, pause=0.001)
            took.append(time.perf_counter() - started)
        await self._until(self._answered, answered + runs)
        return took

    async def trips(self, far: FarPostgres, runs: int) -> dict[str, float]:
        """Count the trips to the database per plain email, and per refund from its email to its reply.

        The refund's are counted with the decision, which in dev mode the run itself records.
        """
        # At its first use on a connection a statement is prepared, which takes a trip of its own.
        await self.one_by_one(runs)
        await self.approvals(runs)
        before = far.trips
        await self.one_by_one(runs)
        between = far.trips
        await self.approvals(runs)
        return {"trips_per_email": (between - before) / runs, "trips_per_refund": (far.trips - between) / runs}

    async def together(self, number: int, far: FarPostgres) -> tuple[float, float, float]:
        """Send so many emails at once, a single one ten times, and measure what `Growth` tells of them."""
        rounds = max(10 // number, 1)
        cpu, trips, late = self.stack.app.cpu_seconds(), far.trips, 0.0
        for _ in range(rounds):
            events = await self._plain_emails("customer/email.received", number)
            before, started = await self._answered(), time.perf_counter()
            await self.engine.send(*events)
            await self._until(self._answered, before + round(number * 0.95), pause=0.002)
            late += time.perf_counter() - started
            await self._until(self._answered, before + number)
        # The rows of the costs are written a moment later.
        await asyncio.sleep(0.2)
        answered = rounds * number
        milliseconds = (self.stack.app.cpu_seconds() - cpu) / answered * 1000
        return milliseconds, late / rounds, (far.trips - trips) / answered

    async def run(self, function: str) -> None:
        """Run a function, which waits for nothing, until its end."""
        since = self.engine.now()
        await self.engine.invoke(f"customer-support-{function}")

        async def ended() -> int:
            return len([run for run in await self.engine.runs(since) if run.function == function and run.over])

        await self._until(ended, 1, pause=0.005)

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
    parser.add_argument("--growth", action="store_true", help="1 to 100 emails at once on 1 to 4 app processes instead")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="with --growth: draw it too")
    parser.add_argument("--waiting", type=int, metavar="REFUNDS", help="what so many refunds that wait cost instead")
    parser.add_argument(
        "--fan-out", type=int, metavar="CUSTOMERS", help="what a check of so many customers costs instead"
    )
    parser.add_argument("--accept", action="store_true", help="write what was measured to the file of accepted figures")
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
    stack = Stack(SETTINGS, engine_url=(options.engine or "").rstrip("/"), app="offline.bench_app:app")
    console.print("Starting Postgres, the engine and the app ...")
    async with stack:
        records = await Records.open(stack.postgres.url)
        if options.engine:
            await records.rename_customers(uuid4().hex[:6])
        bench = Bench(stack, Engine(stack.engine_url, stack.http), records)
        console.print("Measuring ...")
        if options.growth:
            grown = await _growth(console, bench)
            if options.picture:
                options.picture.write_text(_picture(grown))
        elif options.waiting:
            await _waiting(console, bench, options.waiting)
        elif options.fan_out:
            await _fan_out(console, bench, options.fan_out)
        else:
            measured = await _costs(console, bench, 10 if options.quick else 1)
            if options.accept:
                ACCEPTED.write_text(json.dumps(measured, indent=2) + "\n")
        records.close()
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    where = f"Engine: {options.engine or 'the stand-in'}. Machine: {machine}; concurrency as in the course."
    console.print(where, highlight=False, soft_wrap=True)


async def _costs(console: Console, bench: Bench, share: int) -> dict[str, float]:
    """Measure and print what an email costs; the figures that do not depend on the machine."""
    stack = bench.stack
    (await stack.http.put(f"{stack.app_url}/api/bench")).raise_for_status()
    plain, counted = EMAILS // share, COUNTED // share
    await bench.floor(plain // 2)
    await bench.emails(plain // 2)
    rounds = [(await bench.floor(plain), await bench.emails(plain)) for _ in range(max(ROUNDS // share, 1))]
    floor, answered = min(floor.milliseconds for floor, _ in rounds), min(email.milliseconds for _, email in rounds)
    took = sorted(await bench.approvals(APPROVALS // share))
    async with FarPostgres(stack.postgres.url) as far:
        # With one connection, no second one prepares the same statements while they are counted.
        await stack.restart_app(DATABASE_URL=far.url, DB_POOL_MAX="1")
        measured = {"email_to_floor": round(answered / floor, 2)} | await bench.trips(far, counted)
        far.seconds = FAR_SECONDS
        slow = await bench.one_by_one(counted)
    rate = max(email.runs / email.seconds for _, email in rounds)
    console.print(
        f"An email received, read and answered: {answered:.1f} ms of the app's processor time, {rate:.0f} per second.",
        f"The floor, three steps and a plain agent: {floor:.1f} ms.",
        f"From approval event to refund row: median {statistics.median(took) * 1000:.0f} ms,"
        f" 95th percentile {took[int(len(took) * 0.95)] * 1000:.0f} ms ({len(took)} refunds).",
        f"An email with the database {FAR_SECONDS * 1000:.0f} ms away: median {statistics.median(slow) * 1000:.0f} ms.",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("", "Measured", "Accepted", ""):
        table.add_column(heading)
    for name, accepted in json.loads(ACCEPTED.read_text()).items():
        grew = "grew" if measured[name] > accepted * TOLERANCE else ""
        table.add_row(name.replace("_", " "), f"{measured[name]:g}", f"{accepted:g}", grew)
    console.print("", table, "")
    return measured


async def _growth(console: Console, bench: Bench) -> list[Growth]:
    """Measure and print how an email's cost grows with the emails at once and the app's processes."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("Processes", "Emails at once", "CPU per email", "95 % answered after", "Trips per email"):
        table.add_column(heading, justify="right")
    measured: list[Growth] = []
    async with FarPostgres(bench.stack.postgres.url) as far:
        for processes in PROCESSES:
            # uvicorn reads this as its --workers.
            await bench.stack.restart_app(WEB_CONCURRENCY=str(processes), DATABASE_URL=far.url)
            await bench.emails(WARM_UP * processes)
            for number in AT_ONCE:
                measured.append(Growth(processes, number, *await bench.together(number, far)))
                last = measured[-1]
                cells = f"{last.milliseconds:.0f} ms", f"{last.seconds:.2f} s", f"{last.trips:.1f}"
                table.add_row(str(processes), str(number), *cells)
    console.print("", table, "")
    return measured


def _picture(measured: list[Growth]) -> str:
    """Rows of bars, as an SVG: an email's processor time, when 95 % are answered, and its trips to the database."""
    rows = [
        ("CPU per email, ms", [each.milliseconds for each in measured], "#4f46e5", "{:.0f}"),
        ("95 % answered after, s", [each.seconds for each in measured], "#0891b2", "{:.2f}"),
        ("Trips to the database per email", [each.trips for each in measured], "#b45309", "{:.1f}"),
    ]
    shapes = []
    for row, (title, values, colour, form) in enumerate(rows):
        bottom = 150 + 190 * row
        shapes.append(f'<text x="24" y="{bottom - 118}" font-size="14" font-weight="600">{title}</text>')
        for column, value in enumerate(values):
            x, height = 24 + 78 * column, max(value / max(values) * 84, 1)
            shapes.append(f'<rect x="{x}" y="{bottom - height:.0f}" width="56" height="{height:.0f}" fill="{colour}"/>')
            text = f'<text x="{x + 28}" text-anchor="middle"'
            shapes.append(f'{text} y="{bottom - height - 5:.0f}" font-size="12">{form.format(value)}</text>')
            shapes.append(f'{text} y="{bottom + 16}" font-size="12" fill="#4b5563">{measured[column].at_once}</text>')
    for number, processes in enumerate(PROCESSES):
        x = 24 + 78 * len(AT_ONCE) * number
        words = f"emails at once, {processes} process{'es' if processes > 1 else ''}"
        shapes.append(f'<text x="{x}" y="575" font-size="12" fill="#4b5563">{words}</text>')
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 590" role="img"'
            ' aria-label="What emails cost that come at once" font-family="system-ui, sans-serif" fill="#111827">',
            '<rect width="740" height="590" rx="8" fill="#ffffff"/>',
            *shapes,
            "</svg>\n",
        ]
    )


async def _waiting(console: Console, bench: Bench, number: int) -> None:
    """Measure and print what the app costs before and while so many refunds wait."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("Refunds that wait", "Memory of the app", "Desk, a page", "resend-wake-ups", "Restart"):
        table.add_column(heading, justify="right")
    connection = await asyncpg.connect(bench.stack.postgres.url)
    for waiting in (0, number):
        await connection.execute(WAIT, waiting)
        restart = await _seconds(bench.stack.restart_app())
        await bench.emails(WARM_UP)
        desk = [await _seconds(bench.stack.http.get(f"{bench.stack.app_url}/approvals")) for _ in range(5)]
        cron = await _seconds(bench.run("resend-wake-ups"))
        milliseconds = f"{statistics.median(desk) * 1000:.0f} ms"
        table.add_row(f"{waiting:,}", f"{_megabytes(bench):.0f} MB", milliseconds, f"{cron:.2f} s", f"{restart:.1f} s")
    await connection.close()
    console.print("", table, "")


async def _fan_out(console: Console, bench: Bench, number: int) -> None:
    """Measure and print the app's memory while it checks a tenth of so many customers, and then all of them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("Customers", "Memory before", "Highest", "Afterwards", "All checked after"):
        table.add_column(heading, justify="right")
    connection = await asyncpg.connect(bench.stack.postgres.url)
    highest = 0.0

    async def checked() -> int:
        nonlocal highest
        highest = max(highest, _megabytes(bench))
        return int(await connection.fetchval(CHECKED))

    for customers in (number // 10, number):
        await connection.execute(ENTERPRISE, customers)
        await bench.stack.restart_app()
        await bench.emails(WARM_UP)
        before, done, eligible = _megabytes(bench), await checked(), len(await bench.records.eligible())
        highest, started = before, time.perf_counter()
        await bench.engine.invoke("customer-support-daily-health-check")
        # Patience is for a thousand of them, so that a standstill is noticed whatever the number.
        for reached in [*range(1000, eligible, 1000), eligible]:
            await bench._until(checked, done + reached, pause=0.1)
        sizes = [f"{size:.0f} MB" for size in (before, highest, _megabytes(bench))]
        table.add_row(f"{customers:,}", *sizes, f"{time.perf_counter() - started:.0f} s")
    await connection.close()
    console.print("", table, "")


def _megabytes(bench: Bench) -> float:
    """The memory of the app's process."""
    return float(psutil.Process(bench.stack.app.pid).memory_info().rss) / 2**20


async def _seconds(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
