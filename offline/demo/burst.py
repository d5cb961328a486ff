"""D4, flow control: how many emails were really worked on at once, by the engine's own account of each request."""

from __future__ import annotations

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
        # One customer after the other: in turns, ten at once would be two of each even without a limit per customer.
        burst = sorted(emails.BURST, key=lambda email: email.customer)
        events = dict(zip(await stage.emails(burst), (email.customer for email in burst), strict=True))
        seen = await stage.until(
            "twenty emails answered",
            lambda seen: over(seen, HANDLER) >= len(events),
            look=lambda seen: _lanes(seen, events),
            patience=stage.patience * 2,
        )
        rows = await stage.records.actions(stage.since)
        self.claim("D4", "20 emails: received once, answered once", rows, message_received=20, message_sent=20)
        lanes = _by_customer(seen, events)
        total = peak(span for runs in lanes.values() for run in runs for span in run.busy)
        each = {customer: peak(span for run in runs for span in run.busy) for customer, runs in lanes.items()}
        self.claims.check("D4", f"At most {LIMIT} at once", f"peak {total}", LIMIT_PER_CUSTOMER < total <= LIMIT)
        self.claims.check(
            "D4", f"At most {LIMIT_PER_CUSTOMER} of one customer at once",
            "peaks " + listed(map(str, each.values())),
            all(0 < count <= LIMIT_PER_CUSTOMER for count in each.values()),
        )  # fmt: skip


def _by_customer(seen: Seen, events: Mapping[str, str]) -> dict[str, list[Run]]:
    lanes: dict[str, list[Run]] = {customer: [] for customer in events.values()}
    for event, customer in events.items():
        lanes[customer] += seen.of(event)
    return lanes


def _lanes(seen: Seen, events: Mapping[str, str]) -> Iterable[Line]:
    """One line per customer: what their emails are at, and how many were worked on at once."""
    for customer, runs in _by_customer(seen, events).items():
        if runs:
            signs = "".join("✓" if run.status == "COMPLETED" else "✗" if run.over else "▸" for run in runs)
            busy = peak(span for run in runs for span in run.busy)
            done = all(run.over for run in runs) and len(runs) == list(events.values()).count(customer)
            detail = f"{signs}   at most {busy} at once"
            yield Line(f"lane-{customer}", runs[0].queued, "done" if done else "running", customer.capitalize(), detail)
