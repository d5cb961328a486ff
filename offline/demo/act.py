"""What the acts have in common: an email, its run, the rows it left, and what is claimed about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from offline.demo.claims import Claims
from offline.demo.stage import Seen, Stage
from offline.emails import Email

HANDLER, CRON, CHECK = "handle-customer-email", "daily-health-check", "customer-health-check"


class Acts:
    """Acts on one stage, whose claims go to one list."""

    def __init__(self, stage: Stage, claims: Claims) -> None:
        self.stage = stage
        self.claims = claims

    async def handled(self, event: str, expected: str, patience: float | None = None) -> Seen:
        """Wait until the event's run has completed."""
        return await self.stage.until(
            expected, lambda seen: any(run.status == "COMPLETED" for run in seen.of(event)), patience=patience
        )

    async def actions(self, email: Email) -> Mapping[str, int]:
        """How often each action stands in the audit trail of the email's customer since the act began."""
        return await self.stage.records.actions(self.stage.since, self.stage.customers[email.customer])

    def claim(self, decision: str, text: str, rows: Mapping[str, int], **expected: int) -> None:
        """Claim that there are exactly so many rows of these actions."""
        measured = {name: rows[name] for name in expected}
        self.claims.check(decision, text, _counts(measured), measured == expected)


def over(seen: Seen, function: str) -> int:
    """How many runs of the function have ended."""
    return sum(run.over for run in seen.runs if run.function == function)


def listed(items: Iterable[str]) -> str:
    """The items as a person reads them."""
    return ", ".join(items) or "none"


def _counts(rows: Mapping[str, int]) -> str:
    """Without the first word of message_sent, refund_issued and their like, which the claim beside it says."""
    return listed(f"{count} {name.partition('_')[2]}" for name, count in rows.items())
