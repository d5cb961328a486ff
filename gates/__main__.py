"""`python -m gates d5`: is the Decision done? Any running app that shares `gates/contract.py` can be asked."""

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack
from types import ModuleType

import httpx
from dotenv import load_dotenv

from gates import breaking, contract, d0, d1, d2, d3, d4, d5, d6, progress, quick_win, watch
from gates.engine import Engine, EngineError
from gates.hook import Pulse
from gates.report import Advice, Report
from gates.rows import Rows, RowsError
from gates.world import Build, World

DECISIONS: dict[str, ModuleType] = {"d0": d0, "d1": d1, "d2": d2, "d3": d3, "d4": d4, "d5": d5, "d6": d6}
GATES: dict[str, ModuleType] = {"quick-win": quick_win, **DECISIONS}
DEV_SERVER = "http://127.0.0.1:8288"
BROKEN_OFF = Advice("what answered until now stopped: look at the dev server, the app and the database", "AGENTS.md")


def main() -> int:
    """Run the gates that the command line names.

    Returns 0 when everything that was checked holds, 1 when something does not, 2 when nothing could be checked.
    """
    environment = dict(os.environ)
    load_dotenv()
    if sys.argv[1:2] == ["break"]:
        return breaking.main(sys.argv[2:], lambda arguments: _build(_arguments(arguments)), run)
    options = _arguments()
    if options.gate == "list":
        print(progress.listing({name: gate.TITLE for name, gate in GATES.items()}))
        return 0
    if options.gate == "hint":
        print(progress.hint(GATES))
        return 0
    build = _build(options)
    if options.gate == "watch":
        return _watch(options.decision, build, environment)
    names = list(DECISIONS) if options.gate == "all" else [options.gate]
    report = Report()
    try:
        asyncio.run(run(names, build, report))
    except (EngineError, RowsError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    print(f"\n{report.summary}")
    if not build.beyond:
        progress.keep(report)
    if report.failed:
        return 1
    return 0 if any(finding.passed for finding in report.findings) else 2


def _build(options: argparse.Namespace) -> Build:
    return Build(
        engine_url=options.engine,
        database_url=os.environ.get("DATABASE_URL", ""),
        worker=options.worker,
        audit=options.audit,
        patience=options.patience,
        limits=options.limits,
        beyond=options.beyond,
        die_after=os.environ.get("DIE_AFTER", ""),
        approval_seconds=float(os.environ.get("APPROVAL_SECONDS") or 0),
    )


def _watch(decision: str | None, build: Build, environment: dict[str, str]) -> int:
    if decision:
        progress.forget(decision)
    try:
        names = [decision] if decision else list(GATES)
        asyncio.run(watch.main(names, lambda gate, report: run([gate], build, report), build.engine_url))
    except watch.SettingsChangedError:
        print("\nThe settings in .env have changed.", flush=True)
        os.execve(sys.executable, [sys.executable, "-m", "gates", *sys.argv[1:]], environment)  # noqa: S606
    except KeyboardInterrupt:
        print("\nStopped; `python -m gates list` shows where you stand.")
    return 0


def _arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    dev = os.environ.get("INNGEST_DEV", "")
    parser = argparse.ArgumentParser(
        prog="python -m gates",
        description="Is a Decision done? `python -m gates break` breaks a copy of your build, for you to find out how.",
    )
    add = parser.add_argument
    add(
        "gate",
        choices=[*GATES, "all", "watch", "list", "hint"],
        help="which one; all: d0 to d6; watch: the current one again after every change; list: where you stand; "
        "hint: what is likely to be wrong",
    )
    add("decision", nargs="?", choices=GATES, help="watch: this one alone")
    add(
        "--engine",
        metavar="URL",
        default=dev if dev.startswith("http") else os.environ.get("INNGEST_BASE_URL") or DEV_SERVER,
        help="the dev server (default: INNGEST_DEV or INNGEST_BASE_URL, else %(default)s)",
    )
    add(
        "--worker",
        metavar="COMMAND",
        default=Build.worker,
        help="answers one email, whose text takes the place of {email} or follows (default: %(default)s)",
    )
    add(
        "--audit", metavar="TABLE", default="", help='your audit table: "table(customer, action)" (default: discovered)'
    )
    add("--patience", metavar="SECONDS", type=float, default=Build.patience, help="for one answer of your model")
    add(
        "--limits",
        type=_limits,
        default=contract.LIMITS,
        help="D4's: at once, at once per customer, emails a minute (default: 10,2,30)",
    )
    add("--beyond", action="store_true", help="check also what the reference app adds to the course's done-whens")
    return parser.parse_args(arguments)


def _limits(text: str) -> tuple[int, int, int]:
    overall, per_customer, per_minute = text.split(",")
    return int(overall), int(per_customer), int(per_minute)


async def run(names: list[str], build: Build, report: Report) -> None:
    """Check these gates in this order; the findings are added to `report`.

    D0 needs no engine and the Quick Win no database. Raises EngineError or RowsError when what a gate needs is not
    there; what goes away in the middle of a gate is a finding.
    """
    engine, rows = Engine(build.engine_url), Rows(build.database_url, build.audit)
    async with AsyncExitStack() as opened:
        if names != ["quick-win"]:
            await opened.enter_async_context(rows)
        if names != ["d0"]:
            await opened.enter_async_context(engine)
        pulse = Pulse(build.file)
        for name in names:
            report.begin(name.upper(), GATES[name].TITLE)
            try:
                if build.die_after and name != "d0":
                    await pulse.feel(engine, report)
                    pulse.deaths = 0
                await GATES[name].check(World(engine, rows, report, build, pulse=pulse))
            except (EngineError, RowsError, httpx.HTTPError) as error:
                report.check("the check goes on to its end", str(error) or type(error).__name__, False, BROKEN_OFF)


if __name__ == "__main__":
    sys.exit(main())
