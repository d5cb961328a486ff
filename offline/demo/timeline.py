"""What the demo shows: a live timeline of each act, then the table of claims.

On a terminal the running act is drawn again and again, and stays on the screen as it was when it ended. Elsewhere (a
pipe, a CI log; NO_COLOR or CI set) each line is printed as soon as it is true. Nothing here drives or measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from offline.demo.claims import Claim

NAME_WIDTH = 27
PLAIN_WIDTH = 110
MARKS = {
    "event": ("→", "bold cyan"), "done": ("✓", "green"), "failed": ("✗", "red"), "waiting": ("…", "yellow"),
    "running": ("▸", "blue"), "money": ("$", "bold magenta"), "app": ("■", "bold"), "reply": ("«", "cyan"),
    "clock": ("»", "bold yellow"),
}  # fmt: skip
# For terminals and logs whose encoding has no more than ASCII.
IN_ASCII = str.maketrans({"→": ">", "✓": "+", "✗": "x", "…": "~", "▸": "*", "■": "#", "«": '"', "»": "@", "·": "-"})


@dataclass(frozen=True)
class Line:
    """One line of the timeline. `key` names what it is about: a newer line with the same key replaces it."""

    key: str
    at: datetime
    mark: str
    name: str
    detail: str = ""
    depth: int = 0
    settled: datetime | None = None
    """When it came to what the line says, if that is not `at`."""

    @property
    def lasting(self) -> bool:
        """Whether it is worth a line where nothing can be drawn over."""
        return self.mark != "running"


def console_for(output: TextIO = sys.stdout) -> Console:
    """A console that draws on a terminal, and writes plain text everywhere else and where it is asked to."""
    plain = not output.isatty() or any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    if plain:
        return Console(file=output, color_system=None, force_terminal=False, width=PLAIN_WIDTH, legacy_windows=False)
    return Console(file=output)


class Timeline:
    """The screen: `begin` an act, `put` lines on it, `finish` it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.acts: list[RenderableType] = []
        """Everything that has been shown of each act, for a picture of it."""
        self._lines: dict[str, Line] = {}
        self._printed: set[tuple[str, str]] = set()
        self._heading = Text()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def begin(self, decision: str, title: str) -> None:
        """Start an act below the last one."""
        self.finish()
        self._heading = self._text((f" {decision} ", "reverse bold"), "  ", (title, "bold"))
        self.console.print()
        self.console.print(self._heading)
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=self.console, transient=True, refresh_per_second=10)
            self._live.start()

    def put(self, *lines: Line) -> None:
        """Add lines, or bring them up to date."""
        self._lines |= {line.key: line for line in lines}
        if not self.console.is_terminal:
            for line in sorted(self._lines.values(), key=lambda line: line.settled or line.at):
                if line.lasting and (line.key, line.mark) not in self._printed:
                    self._printed.add((line.key, line.mark))
                    when, what, detail = self._cells(replace(line, at=line.settled or line.at))
                    self.console.print(Text(" ").join([when, what, detail]), soft_wrap=True)

    def find(self, key: str) -> Line | None:
        """The act's line about this, if there is one."""
        return self._lines.get(key)

    def finish(self) -> None:
        """Leave the act as it is now."""
        if self._live:
            self._live.stop()
            self._live = None
        if self._lines:
            self.acts.append(Group(self._heading, self._grid(self._ordered())))
            if self.console.is_terminal:
                self.console.print(self._grid(self._ordered()))
        self._lines = {}

    def say(self, text: str, style: str = "") -> None:
        """Print a paragraph below what has been shown."""
        self.console.print(self._text((text, style)), soft_wrap=not self.console.is_terminal)

    def table(self, claims: Iterable[Claim]) -> Table:
        """What was claimed, what was measured, and whether they agree."""
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
        """The running act; its newest lines if it is higher than the terminal."""
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
        """Time, what and detail. Only what a person wrote or is told may take more than one line."""
        sign, style = MARKS[line.mark]
        indent = "  " * line.depth
        top = line.depth == 0
        what = self._text(
            f"{indent}", (sign, style), " ", (f"{line.name}".ljust(NAME_WIDTH - len(indent) - 2), "bold" if top else "")
        )
        detail = self._text((line.detail, "" if top else "dim"))
        for cell in (what, detail):
            cell.no_wrap, cell.overflow = line.mark != "reply", "ellipsis"
        return self._text((f"{line.at:%H:%M:%S}", "dim")), what, detail

    def _text(self, *parts: str | tuple[str, str]) -> Text:
        text = Text.assemble(*parts)
        if self._ascii:
            text.plain = text.plain.translate(IN_ASCII).encode("ascii", "replace").decode()
        return text

    @property
    def _ascii(self) -> bool:
        return not self.console.encoding.lower().startswith("utf")
