"""Where a learner stands: what the last check of each Decision has found, kept in a file of the build's folder."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from gates.report import GREEN, RED, Finding, Report

FILE = Path(".gates.json")
ALL_DONE = "Every Decision is done."


@dataclass(frozen=True)
class Standing:
    """What the last check of one Decision has found; `hints` has one for each thing that did not hold."""

    done: bool
    summary: str
    checked: str
    hints: list[str]


def load() -> dict[str, Standing]:
    """What is known of each Decision. A file that cannot be read counts as none."""
    try:
        return {name: Standing(**kept) for name, kept in json.loads(FILE.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep(report: Report) -> None:
    """Remember what was found of each Decision in the report."""
    known = load()
    for gate in dict.fromkeys(finding.gate for finding in report.findings):
        part = Report(io.StringIO())
        part.findings = [finding for finding in report.findings if finding.gate == gate]
        done = not part.failed and any(finding.passed for finding in part.findings)
        now = datetime.now().isoformat(" ", "minutes")
        known[gate.lower()] = Standing(done, part.summary, now, [_hint(finding) for finding in part.failed])
    _write(known)


def forget(gate: str) -> None:
    """Take a Decision for one that was not checked yet."""
    _write({name: standing for name, standing in load().items() if name != gate})


def _write(known: dict[str, Standing]) -> None:
    FILE.write_text(json.dumps({name: asdict(standing) for name, standing in known.items()}, indent=2) + "\n")


def _hint(finding: Finding) -> str:
    text = f"{finding.what}: {finding.seen}"
    if finding.advice is None:
        return text
    return f"{text}\n  likely: {finding.advice.cause}\n  reread: {finding.advice.where}"


def current(gates: Iterable[str]) -> str | None:
    """The first Decision that is not done; None after the last."""
    known = load()
    return next((name for name in gates if name not in known or not known[name].done), None)


def listing(titles: Mapping[str, str]) -> str:
    """A line for each Decision, and where to go on."""
    known, here, report = load(), current(titles), Report()
    lines = []
    for name, title in titles.items():
        standing = known.get(name)
        sign = " "
        if standing is not None:
            sign = report.coloured(GREEN, "✓") if standing.done else report.coloured(RED, "✗")
        seen = f"{standing.summary} ({standing.checked})" if standing else "not checked yet"
        lines.append(f"{'→' if name == here else ' '} {sign} {name:<9}  {title:<52} {seen}")
    if here is None:
        return "\n".join([*lines, "", ALL_DONE])
    return "\n".join(
        [*lines, "", f"You are at {here}: the prompt is .claude/commands/{here}.md, `python -m gates {here}` checks."]
    )


def hint(gates: Iterable[str]) -> str:
    """What is likely to be wrong with the first thing that does not hold in the current Decision."""
    here = current(gates)
    if here is None:
        return ALL_DONE
    standing = load().get(here)
    if standing is None or not standing.hints:
        return (
            f"Nothing is known of {here} yet: `python -m gates {here}` looks. Its prompt is .claude/commands/{here}.md."
        )
    more = len(standing.hints) - 1
    return standing.hints[0] + (f"\nMend this first; {more} more may follow from it." if more else "")
