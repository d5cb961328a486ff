"""`python -m telemetry.cost`: what the emails cost, and what the engine counts.

`python -m telemetry.cost sum` does the sum of docs/cost.md for emails that are yet to come, with other numbers if you
name them.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import db
from telemetry import report, tiers
from telemetry.prices import OPENAI, Price, price_of

# What the app does by itself: `resend-wake-ups` every five minutes, `daily-health-check` once a day.
TICKS_A_DAY = 24 * 12 + 1
# The run of an email, and of each decision the run `repeat-wake-up`.
RUNS_OF_A_REFUND = 2


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns, the first one to the left and the others, which are numbers, to the right."""
    cells = [[str(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def usage_table(title: str, lines: Iterable[report.Line]) -> str:
    """Tokens and money of each line."""
    titles = (title, "emails", "calls", "failed", "input", "cached", "output", "reasoning", "money")
    rows = [
        (
            line.name,
            line.emails,
            line.calls,
            line.failed,
            f"{line.input_tokens:,}",
            f"{line.cached_percent}%",
            f"{line.output_tokens:,}",
            f"{line.reasoning_tokens:,}",
            line.money,
        )
        for line in lines
    ]
    return table(titles, rows)


def tier_table() -> str:
    """The engine's price list."""
    titles = (f"tier ({tiers.AS_OF})", "a month", "executions", "steps at once", "longest sleep")
    rows = [
        (
            tier.name,
            tier.price,
            f"{tier.executions:,}" if tier.executions else "custom",
            tier.steps_at_once,
            tier.longest_sleep,
        )
        for tier in tiers.TIERS
    ]
    return table(titles, rows)


def as_text(found: report.Report) -> str:
    """The whole report."""
    if not found.total.calls and not found.executions:
        return f"No call to a model and no execution was counted in the last {found.days} days."
    days = [line for line in found.by_day if line.calls]
    parts = [usage_table("day", [*days, found.total]), usage_table("model", found.by_model)]
    parts.append(usage_table("emails with the most tokens", found.by_email))
    functions = [(one.function_id, one.runs, one.retries, one.runs + one.retries) for one in found.executions]
    parts.append(table(("function", "runs", "step retries", "executions"), functions))
    tier, dollars = tiers.month(found.executions_a_month)
    parts.append(tier_table())
    parts.append(
        f"{found.executed:,} executions were counted; at this pace {found.executions_a_month:,} in a month of"
        f" {report.MONTH_DAYS} days, which is {tier.name} at ${dollars}."
    )
    if found.total.unpriced_tokens:
        parts.append(f"The price of {found.total.unpriced_tokens:,} tokens is not known: --as MODEL names one.")
    return "\n\n".join(parts)


def forecast(options: argparse.Namespace) -> str:
    """The sum for a month of emails. Raises SystemExit for a model without a price."""
    strong, easy = (_price(model) for model in (options.model, options.easy))
    emails: int = options.emails * report.MONTH_DAYS
    read, written = options.input, options.output
    cached = read * options.cached // 100

    def month(price: Price, cached_tokens: int, share: float = 1.0) -> float:
        return float(price.dollars(read, cached_tokens, 0, written) * emails) * share

    plain, with_cache = month(strong, 0), month(strong, cached)
    share = options.easy_share / 100
    routed = month(strong, cached, 1 - share) + month(easy, cached, share)
    runs = emails + round(emails * options.refunds / 100) * (RUNS_OF_A_REFUND - 1)
    ticks = (TICKS_A_DAY + options.customers) * report.MONTH_DAYS
    retries = round(runs * options.retries / 100)
    executions = runs + ticks + retries
    tier, dollars = tiers.month(executions)
    rows = [
        (f"{emails:,} emails of {read:,} tokens read, {written:,} written, {options.model}", f"${plain:,.2f}"),
        (f"the same, {options.cached}% of what is read from the cache", f"${with_cache:,.2f}"),
        (f"the same, {options.easy_share}% of the emails answered by {options.easy}", f"${routed:,.2f}"),
        ("runs of emails and decisions", f"{runs:,}"),
        ("runs by the clock: wake-ups, health checks", f"{ticks:,}"),
        (f"step retries, {options.retries}% of the runs", f"{retries:,}"),
        ("executions", f"{executions:,}"),
        (f"the engine, {tier.name} ({tiers.AS_OF})", f"${dollars:,.2f}"),
    ]
    return table(("a month", ""), rows)


def _price(model: str) -> Price:
    price = price_of(model, OPENAI, datetime.now(UTC).date())
    if price is None:
        raise SystemExit(f"The price list does not know {model!r}.")
    return price


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m telemetry.cost", description="What the emails cost.")
    parser.add_argument(
        "--days", type=int, default=report.MONTH_DAYS, help="how far to look back (default: %(default)s)"
    )
    parser.add_argument(
        "--as", dest="as_model", metavar="MODEL", help="price all tokens as if this model had used them"
    )
    add_sum = parser.add_subparsers(dest="command").add_parser("sum", help="the sum for a month of emails to come")
    numbers = {
        "emails": (200, "emails a day"),
        "input": (4000, "tokens that an email reads in all its calls"),
        "output": (400, "tokens that it writes"),
        "cached": (50, "percent of what is read that comes from the cache"),
        "refunds": (20, "percent of the emails that wait for a person"),
        "retries": (2, "step retries, in percent of the runs"),
        "customers": (50, "customers with a health check each morning"),
        "easy-share": (25, "percent of the emails that the easy model answers"),
    }
    for name, (default, what) in numbers.items():
        add_sum.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default: %(default)s)")
    add_sum.add_argument("--model", default="gpt-5.4", help="default: %(default)s")
    add_sum.add_argument("--easy", default="gpt-5.4-nano", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if not 1 <= options.days <= report.MOST_DAYS:
        parser.error(f"--days: expected 1 to {report.MOST_DAYS}")
    return options


async def main(arguments: Sequence[str]) -> None:
    """Print the report or the sum."""
    options = parsed(arguments)
    if options.command == "sum":
        print(forecast(options))
        return
    try:
        print(as_text(await report.read(options.days, options.as_model)))
    finally:
        await db.close()


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv()
    try:
        asyncio.run(main(sys.argv[1:]))
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
