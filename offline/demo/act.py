"""What all acts of the demo do: wait for an email's run, count its audit rows, and claim how many there are."""

from collections.abc import Iterable, Mapping

from offline.demo.claims import Claims
from offline.demo.stage import Seen, Stage
from offline.emails import Email

HANDLER, CRON, CHECK = "handle-customer-email", "daily-health-check", "customer-health-check"


class Acts:
    """Acts on one stage. Their claims go to one list."""

    def __init__(self, stage: Stage, claims: Claims) -> None:
        self.stage = stage
        self.claims = claims

    async def handled(self, event: str, expected: str, patience: float | None = None) -> Seen:
        """Wait until a run of the event has completed. Raises ActError as `Stage.until` does."""
        return await self.stage.until(
            expected, lambda seen: any(run.status == "COMPLETED" for run in seen.of(event)), patience=patience
        )

    async def actions(self, email: Email) -> Mapping[str, int]:
        """Return how often each action is in the audit trail of the email's customer since the act began."""
        return await self.stage.records.actions(self.stage.since, self.stage.customers[email.customer])

    def claim(self, decision: str, text: str, rows: Mapping[str, int], **expected: int) -> None:
        """Claim that there are exactly so many rows of these actions."""
        measured = {name: rows[name] for name in expected}
        # "1 sent" stands for one row message_sent; the claim beside it says the rest.
        counts = listed(f"{count} {name.partition('_')[2]}" for name, count in measured.items())
        self.claims.check(decision, text, counts, measured == expected)


def over(seen: Seen, function: str) -> int:
    """Return how many runs of the function have ended."""
    return sum(run.over for run in seen.runs if run.function == function)


def listed(items: Iterable[str]) -> str:
    """Return the items separated by commas, or "none"."""
    return ", ".join(items) or "none"
