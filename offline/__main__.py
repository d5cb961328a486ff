"""`python -m offline` plays the demo; `python -m offline dev` runs everything for a person to work with."""

import argparse
import sys

from offline import demo


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m offline", description=__doc__)
    demo.add_arguments(parser)
    return demo.main(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
