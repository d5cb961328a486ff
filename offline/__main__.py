"""`python -m offline` plays the demo, `… dev` runs everything to work with, and `… kit` writes what a learner gets."""

import argparse
import sys


def main() -> int:
    """Do what the command line says. Returns the exit code."""
    # These imports take a moment. They are inside the function so that Ctrl-C ends them as quietly as all the rest.
    from offline import demo, dev, kit  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m offline", description=demo.__doc__)
    demo.add_arguments(parser)
    parser.set_defaults(main=demo.main)
    verbs = parser.add_subparsers(title="instead of the demo", metavar="[dev | kit]")
    running = verbs.add_parser("dev", help=dev.__doc__, description=dev.__doc__)
    dev.add_arguments(running)
    running.set_defaults(main=dev.main)
    writing = verbs.add_parser("kit", help=kit.__doc__.splitlines()[0] if kit.__doc__ else "", description=kit.__doc__)
    kit.add_arguments(writing)
    writing.set_defaults(main=kit.main)
    options = parser.parse_args()
    code: int = options.main(options)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
