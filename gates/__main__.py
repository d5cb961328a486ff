"""`python -m gates d5`: is the Decision done? Checks any running app that keeps to the contract, from outside."""

import argparse
import asyncio
import os
import sys
from types import ModuleType

import asyncpg
from dotenv import load_dotenv
from rich.console import Console

from gates import d0, d1, d2, d3, d4, d5, d6, quick_win
from gates.engine import Engine, EngineError
from gates.report import Report
from gates.rows import Rows, RowsError
from gates.world import World

GATES: dict[str, ModuleType] = {
    "quick-win": quick_win, "d0": d0, "d1": d1, "d2": d2, "d3": d3, "d4": d4, "d5": d5, "d6": d6,
}  # fmt: skip
DEV_SERVER = "http://127.0.0.1:8288"


def main() -> int:
    """Run the gates that were asked for. Returns 0 when all hold, 1 when one does not, 2 when none could be checked."""
    load_dotenv()
    dev = os.environ.get("INNGEST_DEV", "")
    parser = argparse.ArgumentParser(prog="python -m gates", description="Is a Decision done?")
    parser.add_argument("gate", choices=[*GATES, "all"], help="which one; all: d0 to d6")
    parser.add_argument(
        "--engine", metavar="URL", default=dev if dev.startswith("http") else DEV_SERVER,
        help="the dev server (default: INNGEST_DEV, else %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", metavar="SECONDS", type=float, default=60, help="for one answer of your model (default: 60)"
    )
    options = parser.parse_args()
    names = [name for name in GATES if name != "quick-win"] if options.gate == "all" else [options.gate]
    report = Report(Console())
    try:
        asyncio.run(run(names, options.engine, os.environ.get("DATABASE_URL", ""), report, options.patience))
    except (EngineError, RowsError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    failed = report.failed
    checked = [finding for finding in report.findings if finding.passed is not None]
    print(f"\n{len(checked) - len(failed)} of {len(checked)} hold." if failed else f"\nAll {len(checked)} hold.")
    return 1 if failed else 0


async def run(names: list[str], engine_url: str, database_url: str, report: Report, patience: float = 60) -> None:
    """Check these gates, in this order. Raises EngineError or RowsError when there is nothing to check them against."""
    try:
        pool = await asyncpg.create_pool(_for_asyncpg(database_url), min_size=1, max_size=2, command_timeout=15)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise RowsError(f"DATABASE_URL leads to no database ({type(error).__name__}). Is it in .env?") from error
    try:
        async with Engine(engine_url) as engine:
            for name in names:
                report.begin(name.upper() if name.startswith("d") else name, GATES[name].TITLE)
                await GATES[name].check(World(engine, Rows(pool), report, patience))
    finally:
        await pool.close()


def _for_asyncpg(url: str) -> str:
    """Neon's URL as asyncpg takes it."""
    return url.replace("channel_binding=require", "").replace("?&", "?").rstrip("?&")


if __name__ == "__main__":
    sys.exit(main())
