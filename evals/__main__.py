"""`python -m evals` plays every case with the model that is configured, and reports: see docs/quality.md."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import db
import settings
from evals import cases, public, report, stage
from offline.postgres import EmbeddedPostgres
from telemetry import report as cost


async def play_cases(chosen: list[cases.Case], tries: int, as_model: str | None) -> float:
    """Play the cases and print the report. Returns the share of tries that passed."""
    results: list[report.Result] = []
    async with stage.running() as engine:
        for number, case in enumerate(chosen):
            if sys.stderr.isatty():  # A real model takes minutes for all of them.
                print(f"{number + 1} of {len(chosen)}: {case.name}", file=sys.stderr)
            found = [await stage.play(engine, case, f"writer-{number}-{count}") for count in range(tries)]
            results.append(report.Result(case, [cases.judge(case, one) for one in found]))
    used = (await cost.read(days=2, as_model=as_model)).total
    print("\n".join(report.lines(results, settings.model() or "the SDK's default model", used)))
    return report.pass_hat(results, 1)


async def with_tables(options: argparse.Namespace) -> bool:
    """Do what the command line says, in a database that is new."""
    await db.migrate()
    try:
        if options.public:
            return await public.play(options.public, options.folder)
        chosen = [case for case in cases.load(options.file) if options.only in f"{case.kind}: {case.name}"]
        if not chosen:
            sys.exit(f"No case has {options.only!r} in its kind or name.")
        least: float = options.at_least
        return await play_cases(chosen, options.tries, options.as_model) >= least
    finally:
        await db.close()


def main() -> int:
    """Returns 1 if fewer tries passed than --at-least says, or if the app let anything through."""
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    parser.add_argument("--tries", type=int, default=1, metavar="K", help="play each case K times (default: 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in 'kind: name'")
    parser.add_argument("--file", type=Path, default=cases.FILE, help="cases of your own (default: evals/cases.toml)")
    parser.add_argument(
        "--at-least", type=float, default=0, metavar="SHARE", help="fail if fewer tries pass, such as 0.95"
    )
    parser.add_argument("--as-model", metavar="NAME", help="price the tokens as this model of OpenAI's")
    parser.add_argument("--public", choices=public.COLLECTIONS, help="play a public collection of injections instead")
    parser.add_argument("--folder", type=Path, help="where the collection bipia was cloned to")
    parser.add_argument(
        "--configured", action="store_true", help="play it with the configured model, not the obedient one"
    )
    options = parser.parse_args()
    if options.tries < 1:
        parser.error("--tries must be at least 1")
    with EmbeddedPostgres() as postgres:
        stage.set_up(postgres.url)
        if options.public:
            public.set_up(options.configured)
        logging.getLogger("customer-support").setLevel(logging.CRITICAL)
        return 0 if asyncio.run(with_tables(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
