"""D4, flow control: how many emails were worked on at once, by what the engine has recorded of each request."""

from collections.abc import Iterable, Mapping

from offline import emails
from offline.demo.act import HANDLER, Acts, listed, over
from offline.demo.claims import peak
from offline.demo.stage import Seen
from offline.demo.timeline import Line
from offline.demo.trace import Run

LIMIT, LIMIT_PER_CUSTOMER = 10, 2


class Burst(Acts):
    """The act in which everybody writes at once."""

    async def burst(self) -> None:
        """D4: twenty emails at once."""
        stage = self.stage
        await stage.begin("D4", "Twenty emails from five customers at once")
        # Sorted by customer: if the customers took turns, ten emails at once would be two of each customer anyway, and
        # a missing limit per customer would not be noticed.
        burst = sorted(emails.BURST, key=lambda email: email.customer)
        customers = [email.customer for email in burst]
        events = dict(zip(await stage.emails(burst), customers, strict=True))
        seen = await stage.until(
            "twenty emails answered",
            lambda seen: over(seen, HANDLER) >= len(events),
            look=lambda seen: _lines(seen, events),
            patience=stage.patience * 2,
        )
        rows = await stage.records.actions(stage.since)
        self.claim("D4", "20 emails: received once, answered once", rows, message_received=20, message_sent=20)
        runs_of = _by_customer(seen, events)
        total = _peak(run for runs in runs_of.values() for run in runs)
        self.claims.check("D4", f"At most {LIMIT} at once", f"peak {total}", LIMIT_PER_CUSTOMER < total <= LIMIT)
        each = [_peak(runs) for runs in runs_of.values()]
        fair = all(0 < count <= LIMIT_PER_CUSTOMER for count in each)
        measured = "peaks " + listed(str(count) for count in each)
        self.claims.check("D4", f"At most {LIMIT_PER_CUSTOMER} of one customer at once", measured, fair)


def _by_customer(seen: Seen, events: Mapping[str, str]) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {customer: [] for customer in events.values()}
    for event, customer in events.items():
        runs[customer] += seen.of(event)
    return runs


def _peak(runs: Iterable[Run]) -> int:
    return peak(span for run in runs for span in run.busy)


def _lines(seen: Seen, events: Mapping[str, str]) -> Iterable[Line]:
    """One line per customer: a sign for each email, and how many were worked on at once."""
    for customer, runs in _by_customer(seen, events).items():
        if runs:
            signs = "".join(_sign(run) for run in runs)
            done = all(run.over for run in runs) and len(runs) == list(events.values()).count(customer)
            detail = f"{signs}   at most {_peak(runs)} at once"
            yield Line(f"lane-{customer}", runs[0].queued, "done" if done else "running", customer.capitalize(), detail)


def _sign(run: Run) -> str:
    if run.status == "COMPLETED":
        return "✓"
    if run.over:
        return "✗"
    return "▸"
