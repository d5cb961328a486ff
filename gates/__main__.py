"""`python -m gates d5`: is the Decision done? Any running app can be checked that keeps to `gates/contract.py`."""

import argparse
import asyncio
import os
import sys
from types import ModuleType
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from dotenv import load_dotenv
from rich.console import Console

from gates import d0, d1, d2, d3, d4, d5, d6, quick_win
from gates.engine import Engine, EngineError
from gates.report import Report
from gates.rows import Rows, RowsError
from gates.world import World

DECISIONS: dict[str, ModuleType] = {"d0": d0, "d1": d1, "d2": d2, "d3": d3, "d4": d4, "d5": d5, "d6": d6}
GATES: dict[str, ModuleType] = {"quick-win": quick_win, **DECISIONS}
DEV_SERVER = "http://127.0.0.1:8288"


def main() -> int:
    """Run the gates that the command line names.

    Returns 0 when everything that was checked holds, 1 when something does not, 2 when nothing could be checked.
    """
    load_dotenv()
    options = _arguments()
    names = list(DECISIONS) if options.gate == "all" else [options.gate]
    database_url = os.environ.get("DATABASE_URL", "")
    report = Report(Console())
    try:
        asyncio.run(run(names, options.engine, database_url, report, options.patience, beyond=options.beyond))
    except (EngineError, RowsError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    checked = [finding for finding in report.findings if finding.passed is not None]
    if report.failed:
        print(f"\n{len(checked) - len(report.failed)} of {len(checked)} hold.")
        return 1
    print(f"\nAll {len(checked)} hold.")
    return 0


def _arguments() -> argparse.Namespace:
    dev = os.environ.get("INNGEST_DEV", "")
    parser = argparse.ArgumentParser(prog="python -m gates", description="Is a Decision done?")
    parser.add_argument("gate", choices=[*GATES, "all"], help="which one; all: d0 to d6")
    parser.add_argument(
        "--engine",
        metavar="URL",
        default=dev if dev.startswith("http") else DEV_SERVER,
        help="the dev server (default: INNGEST_DEV, else %(default)s)",
    )
    parser.add_argument(
        "--patience", metavar="SECONDS", type=float, default=60, help="for one answer of your model (default: 60)"
    )
    parser.add_argument(
        "--beyond", action="store_true", help="check also what the reference app adds to the course's done-whens"
    )
    return parser.parse_args()


async def run(
    names: list[str], engine_url: str, database_url: str, report: Report, patience: float = 60, *, beyond: bool = False
) -> None:
    """Check these gates in this order; the findings are added to `report`.

    `patience` is for one answer of the build's model, in seconds. With `beyond`, what the reference app adds to the
    course is checked too. Raises EngineError or RowsError when there is no engine or no database to check against.
    """
    try:
        pool = await asyncpg.create_pool(_for_asyncpg(database_url), min_size=1, max_size=2, command_timeout=15)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise RowsError(f"DATABASE_URL leads to no database ({type(error).__name__}). Is it in .env?") from error
    try:
        async with Engine(engine_url) as engine:
            for name in names:
                report.begin(name.upper(), GATES[name].TITLE)
                await GATES[name].check(World(engine, Rows(pool), report, patience, beyond))
    finally:
        await pool.close()


def _for_asyncpg(url: str) -> str:
    """Neon's URLs carry `channel_binding`, an option of libpq's that asyncpg does not know."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "channel_binding"]
    return urlunsplit(parts._replace(query=urlencode(query)))


if __name__ == "__main__":
    sys.exit(main())
