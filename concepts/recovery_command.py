"""The command `python -m concepts.recovery`: run failed runs again, and cancel runs that are no longer wanted.

Without `--yes` it only says what it would do. Given the same command again, it does nothing twice.
"""

import argparse
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from concepts.engine_api import EngineApi, Run

SHOWN = 20
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
# The HTTP status with which the engine refuses to cancel a run that has ended.
CONFLICT = 409


def to_rerun(
    runs: list[Run], until: datetime | None, statuses: list[str], registered: set[str]
) -> tuple[list[Run], list[str]]:
    """Choose from all runs since the window began. Returns the runs to rerun, and a line for each that is left alone.

    A failed run stays failed when it has been rerun, so the newest run of the same function and event decides.
    The first one has to lie in the window, because a rerun is queued later than the run it repeats. A run that has
    succeeded is repeated once, because nothing about it says whether its repetition was a success too.
    """
    attempts: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        attempts[run.function_id, run.event_id].append(run)
    chosen, left = [], []
    for group in attempts.values():
        wanted = [run for run in group if run.status in statuses]
        newest = group[-1]
        if not wanted or (until and wanted[0].queued_at > until):
            continue
        if newest.status not in statuses:
            left.append(f"{wanted[-1]}: was run again, {newest.status.lower()} now")
        elif newest.status == "COMPLETED" and len(group) > 1:
            left.append(f"{newest}: was run again already")
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
    """Do what the command line says, or these arguments. Exits with 1 when the engine has refused a run."""
    options = _parser().parse_args(arguments)
    since = options.since or datetime.now(UTC) - options.last
    api = EngineApi()
    registered = api.functions()
    for unknown in set(options.function) - registered:
        print(f"The app has no function {unknown!r} now. It has: {', '.join(sorted(registered)) or 'none'}")
    left: list[str] = []
    if options.action == "rerun":
        runs = api.runs(since, None, options.function)
        chosen, left = to_rerun(runs, options.until, options.status or ["FAILED"], registered)
    else:
        chosen = api.runs(since, options.until, options.function, options.status or ["QUEUED", "RUNNING"])
    print(f"{api.url}: runs queued from {_utc(since)} to {_utc(options.until) if options.until else 'now'}")
    _show(f"to {options.action}", [str(run) for run in chosen])
    if left:
        _show("left alone", left)
    if options.yes:
        _act(api, options.action, chosen)
    else:
        print(f"Nothing was done. To {options.action} {len(chosen)}, say it again with --yes.")


def _act(api: EngineApi, action: str, runs: list[Run]) -> None:
    refused, over = [], 0
    for run in runs:
        refusal = api.rerun(run) if action == "rerun" else api.cancel(run)
        if refusal and refusal.status == CONFLICT:
            over += 1
        elif refusal:
            refused.append(f"{run}: {refusal.message}")
    done = "run again" if action == "rerun" else "cancelled"
    print(f"Done: {len(runs) - over - len(refused)} {done}; {over} were over already.")
    if refused:
        _show("refused", refused)
        raise SystemExit(1)


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _show(title: str, lines: list[str]) -> None:
    print(f"{len(lines)} {title}", *lines[:SHOWN], sep="\n  ")
    if len(lines) > SHOWN:
        print(f"  and {len(lines) - SHOWN} more")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m concepts.recovery", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    rerun = "run failed runs again, or others with --status, on the code that is deployed now"
    _add_options(actions.add_parser("rerun", help=rerun, description=rerun), ["FAILED", "CANCELLED", "COMPLETED"])
    cancel = "end runs that are queued, asleep or waiting; a running step is finished"
    _add_options(actions.add_parser("cancel", help=cancel, description=cancel), ["QUEUED", "RUNNING"])
    return parser


def _add_options(parser: argparse.ArgumentParser, statuses: list[str]) -> None:
    parser.add_argument("--function", action="append", default=[], metavar="ID", help="only this one; again for more")
    window = parser.add_mutually_exclusive_group()
    since, last = "queued from then on, e.g. 2026-11-20T18:00 (UTC)", "or so long ago: 30m, 6h, 7d (default: 1d)"
    window.add_argument("--since", type=_time, metavar="TIME", help=since)
    window.add_argument("--last", type=_duration, default=timedelta(days=1), metavar="6h", help=last)
    parser.add_argument("--until", type=_time, metavar="TIME", help="and queued before then (default: now)")
    parser.add_argument("--status", action="append", choices=statuses, help="only these")
    parser.add_argument("--yes", action="store_true", help="do it; without, it only says what it would do")


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
    return int(found[1]) * UNITS[found[2]]
