"""Fills a column of the conformance table: `make conformance`, or `make conformance SERVER=URL` for another server.

A row is a behaviour of the engine and the test that shows it, which has the mark `conformance`. The column of the other
server stays as it was. Other arguments go to pytest: with `-k` only the cells of the chosen cases are filled. Exit
status 1 says that a case has failed.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "offline" / "inngest_server" / "conformance.md"
INTRODUCTION = """# What the stand-in and the official server do

`make conformance` writes this page: it runs the cases on a server and fills that server's column. "yes" means that a
case passed, "recorded" that it compares the stand-in with what the official server was recorded to do. Any other text
is the reason why the case could not be run there.
"""
RECORDED = "the recordings are the official server's"
Row = tuple[str, str, str]
"""An area, a behaviour in it, and the test that shows it."""


class Cases:
    """A plugin for pytest that notes what became of each case."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.results: dict[str, str] = {}
        """What became of a test, by its id without parameters. A failure stays, and so does a success."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Take down the rows, also those that are not to be run, in the order of the areas' first cases."""
        for item in items:
            mark = item.get_closest_marker("conformance")
            if mark and (row := (*mark.args, _case(item.nodeid))) not in self.rows:
                self.rows.append(row)
        areas = [area for area, _, _ in self.rows]
        self.rows.sort(key=lambda row: areas.index(row[0]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down a result."""
        case = _case(report.nodeid)
        if report.failed:
            self.results[case] = "**no**"
        elif report.skipped:
            self.results.setdefault(case, _why(report))
        elif report.when == "call" and self.results.get(case) != "**no**":
            self.results[case] = "yes"


def _case(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _why(report: pytest.TestReport) -> str:
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    return "recorded" if reason == RECORDED else reason


def main() -> int:
    """Run the cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="", help="the address of a server; without it, the stand-in")
    parser.add_argument("--version", help="what the server is called in the table, if it does not know it itself")
    options, others = parser.parse_known_args()
    if options.server:
        os.environ["INNGEST_TEST_SERVER"] = options.server
    cases = Cases()
    status = pytest.main(["-m", "conformance", "-q", "tests/concepts", "tests/durable", *others], [cases])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return int(status)
    column = options.version or _version(options.server)
    TABLE.write_text(_table(cases, column, is_official=bool(options.server)))
    print(f"Written: {TABLE.relative_to(ROOT)}")
    return int(status)


def _version(server: str) -> str:
    if not server:
        return str(tomllib.loads((ROOT / "offline" / "pyproject.toml").read_text())["project"]["version"])
    return str(httpx.get(f"{server}/dev").json()["version"])


def _table(cases: Cases, version: str, *, is_official: bool) -> str:
    """Return the page with one column filled anew."""
    titles, known = _read(TABLE.read_text() if TABLE.exists() else "")
    number = 1 if is_official else 0
    titles[number] = f"{('stand-in', 'official server')[number]} {version}"
    lines, current = [INTRODUCTION], None
    for area, behaviour, case in cases.rows:
        if area != current:
            current = area
            lines += [f"\n## {area}\n", f"| behaviour | {' | '.join(titles)} | shown by |", "|---|---|---|---|"]
        cells = known.get(behaviour, ["", ""])
        cells[number] = cases.results.get(case, cells[number])
        lines.append(f"| {behaviour} | {' | '.join(cells)} | `{case}` |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _read(page: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the two columns' titles and, by their behaviours, the rows' cells in them."""
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("| ")]
    known = {behaviour: cells for behaviour, *cells in rows}
    return known.pop("behaviour", ["stand-in", "official server"]), known


if __name__ == "__main__":
    sys.exit(main())
