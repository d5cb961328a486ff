"""The command `python -m concepts.recovery`: rerun what has failed, cancel what is no longer wanted.

Without `--yes` it only tells what it would do. Given again, it does nothing twice.
"""

import argparse
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from concepts.engine_api import EngineApi, Run

SHOWN = 20
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
OVER = 409


def to_rerun(
    runs: list[Run], until: datetime | None, statuses: list[str], registered: set[str]
) -> tuple[list[Run], list[str]]:
    """Out of all runs since the window began: those to rerun, and a line for each that is left alone.

    A failed run stays failed when it has been rerun, so what counts is the newest run of the same function and event.
    The first failure has to lie in the window: a rerun is queued later than what it repairs.
    """
    attempts: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        attempts[run.function_id, run.event_id].append(run)
    chosen, left = [], []
    for group in attempts.values():
        failed, newest = [run for run in group if run.status in statuses], group[-1]
        if not failed or (until and failed[0].queued_at > until):
            continue
        if newest.status not in statuses:
            left.append(f"{failed[-1]}: was run again, {newest.status.lower()} now")
        elif newest.is_batch:
            left.append(f"{newest}: a batch; send its events again")
        elif newest.is_cron:
            left.append(f"{newest}: a cron run; invoke the function")
        elif newest.function_id not in registered:
            left.append(f"{newest}: the app has no such function any more")
        else:
            chosen.append(newest)
    return chosen, left


def main(arguments: list[str] | None = None) -> None:
    """Read the command line (the process's, unless given) and obey. Exits with 1 when the engine has refused a run."""
    options = _parser().parse_args(arguments)
    since = options.since or datetime.now(UTC) - options.last
    api = EngineApi()
    registered = api.functions()
    for unknown in set(options.function) - registered:
        print(f"The app has no function {unknown!r} now. It has: {', '.join(sorted(registered)) or 'none'}")
    if options.action == "rerun":
        runs = api.runs(since, None, options.function)
        chosen, left = to_rerun(runs, options.until, options.status or ["FAILED"], registered)
    else:
        chosen, left = api.runs(since, options.until, options.function, options.status or ["QUEUED", "RUNNING"]), []
    print(f"{api.url}: runs queued from {_told(since)} to {_told(options.until) if options.until else 'now'}")
    _show(f"to {options.action}", [str(run) for run in chosen])
    _show("left alone", left)
    if not options.yes:
        print(f"Nothing was done. To {options.action} {len(chosen)}, say it again with --yes.")
        return
    refused, over = [], 0
    for run in chosen:
        refusal = api.rerun(run) if options.action == "rerun" else api.cancel(run)
        if refusal and refusal.status == OVER:
            over += 1
        elif refusal:
            refused.append(f"{run}: {refusal.message}")
    done = "run again" if options.action == "rerun" else "cancelled"
    print(f"Done: {len(chosen) - over - len(refused)} {done}; {over} were over already.")
    _show("refused", refused)
    if refused:
        raise SystemExit(1)


def _told(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _show(title: str, lines: list[str]) -> None:
    if lines or title.startswith("to "):
        print(f"{len(lines)} {title}", *lines[:SHOWN], sep="\n  ")
    if len(lines) > SHOWN:
        print(f"  and {len(lines) - SHOWN} more")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m concepts.recovery", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for action, statuses, what in (
        ("rerun", ["FAILED", "CANCELLED"], "run failed runs again, on the code that is deployed now"),
        ("cancel", ["QUEUED", "RUNNING"], "end runs that are queued, asleep or waiting; a running step is finished"),
    ):
        command = actions.add_parser(action, help=what, description=what)
        command.add_argument(
            "--function", action="append", default=[], metavar="ID", help="only this one; again for more"
        )
        window = command.add_mutually_exclusive_group()
        window.add_argument(
            "--since", type=_time, metavar="TIME", help="queued from then on, e.g. 2026-11-20T18:00 (UTC)"
        )
        window.add_argument(
            "--last",
            type=_duration,
            default=timedelta(days=1),
            metavar="6h",
            help="or so long ago: 30m, 6h, 7d (default: 1d)",
        )
        command.add_argument("--until", type=_time, metavar="TIME", help="and queued before then (default: now)")
        command.add_argument("--status", action="append", choices=statuses, help="only these")
        command.add_argument("--yes", action="store_true", help="do it; without, it only says what it would do")
    return parser


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-20T18:00") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30m, 6h or 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
