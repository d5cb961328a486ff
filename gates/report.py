"""What the gates have found, and for everything that does not hold its likeliest cause and what to reread."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape


@dataclass(frozen=True)
class Advice:
    """The likeliest cause of a failure, and what explains it: a file, or the name of a concept on the shelf."""

    cause: str
    reread: str

    @property
    def source(self) -> str:
        """The path of the file to reread."""
        return self.reread if "." in self.reread else f"concepts/{self.reread}.py"


@dataclass(frozen=True)
class Finding:
    """One thing that a gate looked at. `passed` is None when it could not be checked here."""

    gate: str
    what: str
    seen: str
    passed: bool | None
    advice: Advice | None = None


class Report:
    """The list of findings. Each is printed as soon as it is added."""

    def __init__(self, console: Console) -> None:
        self.findings: list[Finding] = []
        self._console = console
        self._gate = ""

    def begin(self, gate: str, title: str) -> None:
        """Print the gate's heading; the findings added from now on belong to this gate."""
        self._gate = gate
        self._console.print(f"\n[bold]{gate}[/]  {escape(title)}", highlight=False)

    def check(self, what: str, seen: str, holds: bool, advice: Advice) -> bool:
        """Add a finding, with the advice if it does not hold. Returns whether it holds."""
        self._add(Finding(self._gate, what, seen, holds, None if holds else advice))
        return holds

    def cannot(self, what: str, why: str) -> None:
        """Add a finding that says why something cannot be checked here."""
        self._add(Finding(self._gate, what, why, None))

    @property
    def failed(self) -> list[Finding]:
        """The findings that do not hold."""
        return [finding for finding in self.findings if finding.passed is False]

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        sign = "[green]✓[/]" if finding.passed else "[red]✗[/]"
        if finding.passed is None:
            sign = "[yellow]-[/]"
        self._console.print(f"  {sign} {escape(finding.what)}: {escape(finding.seen)}", highlight=False)
        if finding.advice is not None:
            self._console.print(f"      likely: {escape(finding.advice.cause)}", highlight=False)
            self._console.print(f"      reread: {escape(finding.advice.source)}", highlight=False)
