"""`python -m offline dev` stands in for the accounts that a build needs; the reference app's folder has more verbs.

There, `dev` runs the app and the shelf too, no verb plays the demo, and `kit` writes what a learner gets.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Do what the command line says. Returns the exit code."""
    # These imports take a moment. They are inside the function so that Ctrl-C ends them as quietly as all the rest.
    try:
        from offline import accounts  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(f'{error.name} is not installed: pip install "inngest-stand-in[dev]"')
    parser = argparse.ArgumentParser(prog="python -m offline", description=__doc__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    running = verbs.add_parser("dev", help="stand in for the accounts", description=accounts.__doc__)
    accounts.add_arguments(running)
    accounts.add_ports(running)
    running.set_defaults(main=accounts.main)
    if _is_the_reference_app():
        _add_the_reference_apps_verbs(parser, verbs, running)
    options = parser.parse_args()
    if not hasattr(options, "main"):
        parser.print_help()
        return 2
    code: int = options.main(options)
    return code


def _is_the_reference_app() -> bool:
    """Whether this is the folder of the reference app, from which it is run. A wheel has no demo."""
    return Path.cwd() == ROOT and (ROOT / "offline" / "demo").is_dir() and (ROOT / "inngest_app.py").exists()


def _add_the_reference_apps_verbs(
    parser: argparse.ArgumentParser,
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    running: argparse.ArgumentParser,
) -> None:
    from offline import accounts, demo, dev, kit, production  # noqa: PLC0415

    demo.add_arguments(parser)
    parser.set_defaults(main=demo.main)
    dev.add_arguments(running)
    running.set_defaults(main=lambda options: accounts.main(options) if options.only else dev.main(options))
    serving = verbs.add_parser("production", help="run replicas behind a proxy", description=production.__doc__)
    production.add_arguments(serving)
    serving.set_defaults(main=production.main)
    writing = verbs.add_parser("kit", help=kit.__doc__.splitlines()[0] if kit.__doc__ else "", description=kit.__doc__)
    kit.add_arguments(writing)
    writing.set_defaults(main=kit.main)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
