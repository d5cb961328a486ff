"""What a gate has found: what was checked, what was seen, and on a failure the likeliest cause and what to reread."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape


@dataclass(frozen=True)
class Advice:
    """The likeliest cause of a failure, and what explains it: a concept of the shelf by its name, or a file."""

    cause: str
    reread: str

    @property
    def source(self) -> str:
        """The file to read."""
        return self.reread if "." in self.reread else f"concepts/{self.reread}.py"


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. `passed` is None where it could not be."""

    gate: str
    what: str
    seen: str
    passed: bool | None
    advice: Advice | None = None


class Report:
    """The findings, each told as it is found."""

    def __init__(self, console: Console) -> None:
        self.findings: list[Finding] = []
        self._console = console
        self._gate = ""

    def begin(self, gate: str, title: str) -> None:
        """What follows belongs to this gate."""
        self._gate = gate
        self._console.print(f"\n[bold]{gate}[/]  {escape(title)}", highlight=False)

    def check(self, what: str, seen: str, holds: bool, advice: Advice | None = None) -> bool:
        """Add a finding; `advice` is for the case that it does not hold. Returns whether it holds."""
        self._add(Finding(self._gate, what, seen, holds, None if holds else advice))
        return holds

    def cannot(self, what: str, why: str) -> None:
        """Add something that cannot be checked here."""
        self._add(Finding(self._gate, what, why, None))

    @property
    def failed(self) -> list[Finding]:
        """What did not hold."""
        return [finding for finding in self.findings if finding.passed is False]

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        sign = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]-[/]"}[finding.passed]
        self._console.print(f"  {sign} {escape(finding.what)}: {escape(finding.seen)}", highlight=False)
        if finding.advice is not None:
            self._console.print(f"      likely: {escape(finding.advice.cause)}", highlight=False)
            self._console.print(f"      reread: {escape(finding.advice.source)}", highlight=False)
