"""What the emails of some days cost: tokens and money by day, by model and by email, and the engine's executions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import db
from telemetry.prices import OPENAI, price_of

LARGEST = 20
MONTH_DAYS = 30
MOST_DAYS = 366
_SUMS = (
    "count(*) as calls, count(error) as failed, sum(input_tokens)::bigint as input_tokens,"
    " sum(cached_tokens)::bigint as cached_tokens, sum(written_tokens)::bigint as written_tokens,"
    " sum(output_tokens)::bigint as output_tokens, sum(reasoning_tokens)::bigint as reasoning_tokens"
)
_DAY = "(created_at at time zone 'utc')::date"


@dataclass
class Line:
    """What some calls used. Cached tokens are a part of the input, reasoning tokens a part of the output."""

    name: str
    emails: int = 0
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    # Of the calls whose price is known, and the tokens of the others.
    dollars: Decimal = Decimal(0)
    unpriced_tokens: int = 0
    customer_id: str | None = None
    run_id: str | None = None

    @property
    def tokens(self) -> int:
        """All that was read and written."""
        return self.input_tokens + self.output_tokens

    @property
    def cached_percent(self) -> int:
        """How much of the input came from the provider's cache."""
        return round(100 * self.cached_tokens / self.input_tokens) if self.input_tokens else 0

    @property
    def money(self) -> str:
        """The dollars, if the price is known of any of it."""
        if self.unpriced_tokens and not self.dollars:
            return "no price"
        return f"${self.dollars:,.4f}" + (" and more" if self.unpriced_tokens else "")

    def add(self, row: dict[str, Any], as_model: str | None) -> None:
        """Add the sums of one model, API and day; with `as_model` at the price of that model of OpenAI's."""
        self.calls += row["calls"]
        self.failed += row["failed"]
        self.input_tokens += row["input_tokens"]
        self.cached_tokens += row["cached_tokens"]
        self.output_tokens += row["output_tokens"]
        self.reasoning_tokens += row["reasoning_tokens"]
        model, api = (as_model, OPENAI) if as_model else (row["model"], row["api"])
        price = price_of(model, api, row["day"])
        if price is None:
            self.unpriced_tokens += row["input_tokens"] + row["output_tokens"]
            return
        self.dollars += price.dollars(
            row["input_tokens"], row["cached_tokens"], row["written_tokens"], row["output_tokens"]
        )


@dataclass
class Executions:
    """What the engine counted of one function: its runs, and the later tries of its steps."""

    function_id: str
    runs: int
    retries: int


@dataclass
class Report:
    """The days that were asked for."""

    days: int
    total: Line
    by_day: list[Line] = field(default_factory=list)
    by_model: list[Line] = field(default_factory=list)
    by_email: list[Line] = field(default_factory=list)
    executions: list[Executions] = field(default_factory=list)
    executions_a_month: int = 0

    @property
    def executed(self) -> int:
        """The executions of all functions."""
        return sum(one.runs + one.retries for one in self.executions)


async def read(days: int = MONTH_DAYS, as_model: str | None = None) -> Report:
    """The report of the last days, today included. Raises what the database raises.

    With `as_model` everything is priced as if that model of OpenAI's had used the same tokens.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    rows = await db.fetch(
        f"select {_DAY} as day, model, api, {_SUMS} from model_calls where created_at >= $1"  # noqa: S608
        " group by 1, 2, 3 order by 1, 2, 3",
        since,
    )
    emails = await db.fetch(
        f"select {_DAY} as day, model, count(distinct event_id) as emails from model_calls"  # noqa: S608
        " where created_at >= $1 group by grouping sets ((1), (2), ())",
        since,
    )
    counts = {(row["day"], row["model"]): row["emails"] for row in emails}
    report = Report(days, Line(f"{days} days", emails=counts.get((None, None), 0)))
    by_day = {(since + timedelta(days=number)).date(): Line("") for number in range(days)}
    for row in rows:
        report.total.add(row, as_model)
        by_day[row["day"]].add(row, as_model)
    for day, line in by_day.items():
        line.name, line.emails = day.isoformat(), counts.get((day, None), 0)
    report.by_day = list(by_day.values())
    report.by_model = _lines("model", rows, as_model)
    for line in report.by_model:
        line.emails = counts[None, line.name]
    report.by_email = await _largest(since, as_model)
    await _add_executions(report, since)
    return report


def _lines(column: str, rows: Iterable[dict[str, Any]], as_model: str | None) -> list[Line]:
    """The rows added up by a column, the dearest first."""
    lines: dict[str, Line] = {}
    for row in rows:
        lines.setdefault(row[column], Line(row[column])).add(row, as_model)
    return sorted(lines.values(), key=lambda line: (line.dollars, line.tokens), reverse=True)


async def _largest(since: datetime, as_model: str | None) -> list[Line]:
    """The emails that used the most tokens. An email that was run again after a failure is one, with all it used."""
    rows = await db.fetch(
        f"select event_id, min(run_id) as run_id, {_DAY} as day, model, api, {_SUMS} from model_calls"  # noqa: S608
        " where created_at >= $1 and event_id in ("
        "   select event_id from model_calls where created_at >= $1"
        "   group by 1 order by sum(input_tokens + output_tokens) desc limit $2)"
        " group by event_id, 3, model, api",
        since,
        LARGEST,
    )
    received = await db.fetch(
        "select run_id, customer_id from audit_log where key = any($1)",
        [f"{row['run_id']}:audit-received" for row in rows],
    )
    customers = {row["run_id"]: row["customer_id"] for row in received}
    runs = {row["event_id"]: row["run_id"] for row in rows}
    lines = _lines("event_id", rows, as_model)
    for line in lines:
        line.emails, line.run_id = 1, runs[line.name]
        line.customer_id = customers.get(line.run_id)
    return lines


async def _add_executions(report: Report, since: datetime) -> None:
    rows = await db.fetch(
        "select function_id, count(*) filter (where attempt = 0) as runs,"
        " count(*) filter (where attempt > 0) as retries,"
        " extract(epoch from now() - min(created_at))::float8 as seconds"
        " from executions where created_at >= $1 group by 1 order by count(*) desc, 1",
        since,
    )
    report.executions = [Executions(row["function_id"], row["runs"], row["retries"]) for row in rows]
    # What was counted in less than a day says little of a month, so it is taken for a whole day.
    counted_days = max([1.0, *(row["seconds"] / 86_400 for row in rows)])
    report.executions_a_month = round(report.executed / counted_days * MONTH_DAYS)
