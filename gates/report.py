"""What the gates have found, and for everything that does not hold its likeliest cause and what to reread."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

GREEN, RED, YELLOW, BOLD = "32", "31", "33", "1"
# What explains a concept of the shelf in a folder that has no shelf. AGENTS.md, with its traps, explains the others.
SKILLS = {
    "ai_calls": "inngest-steps/references/agents.md",
    "cron": "inngest-durable-functions/SKILL.md",
    "events": "inngest-events/SKILL.md",
    "fan_out": "inngest-durable-functions/SKILL.md",
    "flow_control": "inngest-durable-functions/references/flow-control.md",
    "greet": "inngest-setup/SKILL.md",
    "human_gate": "inngest-steps/references/agents.md",
    "idempotency": "inngest-events/SKILL.md",
    "memoization": "inngest-steps/SKILL.md",
    "recovery": "inngest-durable-functions/references/recovery.md",
    "retries": "inngest-steps/references/errors.md",
    "sleep_and_wait": "inngest-steps/SKILL.md",
    "steps": "inngest-steps/SKILL.md",
    "surplus": "inngest-durable-functions/references/flow-control.md",
    "webhooks": "inngest-events/SKILL.md",
}


@dataclass(frozen=True)
class Advice:
    """The likeliest cause of a failure, and what explains it: a file, or the name of a concept on the shelf."""

    cause: str
    reread: str

    @property
    def source(self) -> str:
        """The path of the file to reread, in the reference app."""
        return self.reread if "." in self.reread else f"concepts/{self.reread}.py"

    @property
    def where(self) -> str:
        """What the reader is told to reread: a file of this folder, which has skills where it has no shelf."""
        if Path(self.source).exists():
            return self.source
        return f".claude/skills/{SKILLS[self.reread]}" if self.reread in SKILLS else "AGENTS.md"


@dataclass(frozen=True)
class Finding:
    """One thing that a gate looked at. `passed` is None when it could not be checked here.

    A hint has an advice although nothing failed: the course itself does it so, and there is something better.
    """

    gate: str
    what: str
    seen: str
    passed: bool | None
    advice: Advice | None = None


class Report:
    """The list of findings. Each is printed to `out` as soon as it is added, in colours if that is a terminal.

    With `advises` unset, the advice is kept for whoever asks for it.
    """

    def __init__(self, out: TextIO | None = None, *, advises: bool = True) -> None:
        self.findings: list[Finding] = []
        self._out = out or sys.stdout
        self._colours = self._out.isatty() and "NO_COLOR" not in os.environ
        self._advises = advises
        self._gate = ""

    def begin(self, gate: str, title: str) -> None:
        """Print the gate's heading; the findings added from now on belong to this gate."""
        self._gate = gate
        self._print(f"\n{self.coloured(BOLD, gate)}  {title}")

    def check(self, what: str, seen: str, holds: bool, advice: Advice) -> bool:
        """Add a finding, with the advice if it does not hold. Returns whether it holds."""
        self._add(Finding(self._gate, what, seen, holds, None if holds else advice))
        return holds

    def hint(self, what: str, seen: str, advice: Advice) -> None:
        """Add a finding that holds by the course's measure and could be better."""
        self._add(Finding(self._gate, what, seen, True, advice))

    def cannot(self, what: str, why: str) -> None:
        """Add a finding that says why something cannot be checked here."""
        self._add(Finding(self._gate, what, why, None))

    def say(self, line: str) -> None:
        """Print what goes on meanwhile; it is no finding."""
        self._print(f"    {line}")

    @property
    def failed(self) -> list[Finding]:
        """The findings that do not hold."""
        return [finding for finding in self.findings if finding.passed is False]

    @property
    def summary(self) -> str:
        """How much holds, in words: "7 hold, 1 does not hold, 2 not checked"."""
        held = sum(finding.passed is True for finding in self.findings)
        unchecked = len(self.findings) - held - len(self.failed)
        parts = [f"{held} hold"]
        if self.failed:
            parts.append(f"{len(self.failed)} do not hold")
        if unchecked:
            parts.append(f"{unchecked} not checked")
        return f"{', '.join(parts)}."

    def coloured(self, colour: str, text: str) -> str:
        """The text in this colour, or as it is where there are no colours."""
        return f"\033[{colour}m{text}\033[0m" if self._colours else text

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        sign = self.coloured(RED, "✗")
        if finding.passed is None:
            sign = self.coloured(YELLOW, "-")
        elif finding.passed:
            sign = self.coloured(YELLOW, "!") if finding.advice else self.coloured(GREEN, "✓")
        self._print(f"  {sign} {finding.what}: {finding.seen}")
        if finding.advice is not None and self._advises:
            self._print(f"      {'better' if finding.passed else 'likely'}: {finding.advice.cause}")
            self._print(f"      reread: {finding.advice.where}")

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)
