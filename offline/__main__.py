"""`python -m offline` plays the demo; `python -m offline dev` runs everything for a person to work with."""

import argparse
import sys


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    # Importing takes a moment, in which Ctrl-C should end as quietly as later.
    from offline import demo, dev  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m offline", description=demo.__doc__)
    demo.add_arguments(parser)
    parser.set_defaults(main=demo.main)
    verbs = parser.add_subparsers(title="instead of the demo", metavar="[dev]")
    running = verbs.add_parser("dev", help=dev.__doc__, description=dev.__doc__)
    dev.add_arguments(running)
    running.set_defaults(main=dev.main)
    options = parser.parse_args()
    code: int = options.main(options)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
