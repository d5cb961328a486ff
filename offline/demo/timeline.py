"""What the demo shows: a live timeline of each act, then the table of claims.

On a terminal the running act is drawn again and again, and stays on the screen as it was when it ended. In a pipe, or
when NO_COLOR or CI is set, each line is printed once, as soon as it is true.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from offline.demo.claims import Claim

NAME_WIDTH = 27
PLAIN_WIDTH = 110
MARKS = {
    "event": ("→", "bold cyan"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "waiting": ("…", "yellow"),
    "running": ("▸", "blue"),
    "money": ("$", "bold magenta"),
    "app": ("■", "bold"),
    "reply": ("«", "cyan"),
    "clock": ("»", "bold yellow"),
}
# These replace the signs where the output's encoding is not UTF.
IN_ASCII = str.maketrans({"→": ">", "✓": "+", "✗": "x", "…": "~", "▸": "*", "■": "#", "«": '"', "»": "@", "·": "-"})


@dataclass(frozen=True)
class Line:
    """One line of the timeline. A later line with the same `key` replaces it."""

    key: str
    at: datetime
    mark: str
    name: str
    detail: str = ""
    depth: int = 0
    settled: datetime | None = None
    """When the thing reached the state that the line shows. None means at `at`."""

    @property
    def lasting(self) -> bool:
        """Whether the line is printed where a printed line cannot be replaced."""
        return self.mark != "running"


def console_for(output: TextIO = sys.stdout) -> Console:
    """Return a console that draws on a terminal and writes plain text elsewhere, or if NO_COLOR or CI is set."""
    plain = not output.isatty() or any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    if plain:
        return Console(file=output, color_system=None, force_terminal=False, width=PLAIN_WIDTH, legacy_windows=False)
    return Console(file=output)


class Timeline:
    """The screen. `begin` starts an act, `put` shows lines of it, and `finish` leaves it as it is."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.acts: list[RenderableType] = []
        """What each act looked like at its end, for the picture."""
        self._lines: dict[str, Line] = {}
        self._printed: set[tuple[str, str]] = set()
        self._heading = Text()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def begin(self, decision: str, title: str) -> None:
        """Finish the last act and start one below it."""
        self.finish()
        self._heading = self._text((f" {decision} ", "reverse bold"), "  ", (title, "bold"))
        self.console.print()
        self.console.print(self._heading)
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=self.console, transient=True, refresh_per_second=10)
            self._live.start()

    def put(self, *lines: Line) -> None:
        """Show lines, in place of earlier lines with the same keys."""
        self._lines |= {line.key: line for line in lines}
        if not self.console.is_terminal:
            for line in sorted(self._lines.values(), key=lambda line: line.settled or line.at):
                if line.lasting and (line.key, line.mark) not in self._printed:
                    self._printed.add((line.key, line.mark))
                    when, what, detail = self._cells(replace(line, at=line.settled or line.at))
                    self.console.print(Text(" ").join([when, what, detail]), soft_wrap=True)

    def find(self, key: str) -> Line | None:
        """Return the act's line with this key, or None."""
        return self._lines.get(key)

    def finish(self) -> None:
        """End the act and leave it on the screen as it is now."""
        if self._live:
            self._live.stop()
            self._live = None
        if self._lines:
            self.acts.append(Group(self._heading, self._grid(self._ordered())))
            if self.console.is_terminal:
                self.console.print(self._grid(self._ordered()))
        self._lines = {}

    def say(self, text: str, style: str = "") -> None:
        """Print a paragraph."""
        self.console.print(self._text((text, style)), soft_wrap=not self.console.is_terminal)

    def table(self, claims: Iterable[Claim]) -> Table:
        """Return a table of what was claimed, what was measured, and whether the claim holds."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("", style="bold", no_wrap=True)
        table.add_column("Claim")
        table.add_column("Measured")
        table.add_column("Holds", no_wrap=True)
        for claim in claims:
            verdict = ("✓ yes", "green") if claim.holds else ("✗ NO", "bold red")
            cells = (claim.decision, claim.text, claim.measured, verdict)
            table.add_row(*(self._text(cell) for cell in cells))
        return table

    def _draw(self) -> Table:
        """Draw the running act, or only its newest lines if the terminal is too low for all of it."""
        return self._grid(self._ordered()[-max(4, self.console.height - 4) :])

    def _ordered(self) -> list[Line]:
        return sorted(self._lines.values(), key=lambda line: line.at)

    def _grid(self, lines: Iterable[Line]) -> Table:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=8)
        grid.add_column(width=NAME_WIDTH)
        grid.add_column(ratio=1)
        for line in lines:
            grid.add_row(*self._cells(line))
        return grid

    def _cells(self, line: Line) -> tuple[Text, Text, Text]:
        """Return time, name and detail. Only a reply may take more than one line of the screen."""
        sign, style = MARKS[line.mark]
        indent = "  " * line.depth
        top = line.depth == 0
        name = line.name.ljust(NAME_WIDTH - len(indent) - 2)
        what = self._text(indent, (sign, style), " ", (name, "bold" if top else ""))
        detail = self._text((line.detail, "" if top else "dim"))
        for cell in (what, detail):
            cell.no_wrap = line.mark != "reply"
            cell.overflow = "ellipsis"
        return self._text((f"{line.at:%H:%M:%S}", "dim")), what, detail

    def _text(self, *parts: str | tuple[str, str]) -> Text:
        text = Text.assemble(*parts)
        if self._ascii:
            text.plain = text.plain.translate(IN_ASCII).encode("ascii", "replace").decode()
        return text

    @property
    def _ascii(self) -> bool:
        return not self.console.encoding.lower().startswith("utf")
