"""The long form of the matrix and of the properties: one seed after another until the time is up.

`make torture` runs it; SEED is the first seed (another one each time unless given), MINUTES how long (default 60).
It ends at the first failure, whose message says how to see it again. What is looked for: `tests/e2e/matrix.py` and
`tests/adversary/`.
"""

import itertools
import os
import signal
import subprocess
import sys
import time

TESTS = ["tests/e2e", "--ignore=tests/e2e/browser", "tests/adversary", "tests/durable/test_approval_timing.py"]
TESTS += ["tests/concepts/test_flow_control.py"]
MORE = {"SAMPLES": "4", "HYPOTHESIS_PROFILE": "torture"}


def passed(seed: int, seconds: float) -> bool | None:
    """Run everything with one seed; None if the time was up first."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "--timeout=3600", *TESTS, *sys.argv[1:]]
    process = subprocess.Popen(command, env={**MORE, **os.environ, "SEED": str(seed)})
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        # As Ctrl-C does: it takes its servers and processes down with it.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        return None


def main() -> None:
    """Try seeds until one fails or the time is up."""
    first = int(os.environ.get("SEED") or time.time() % 1_000_000)
    end = time.monotonic() + 60 * float(os.environ.get("MINUTES") or 60)
    for number in itertools.count(first):
        left = end - time.monotonic()
        print(f"SEED={number}, {left / 60:.0f} minutes left", flush=True)
        match passed(number, left):
            case False:
                sys.exit(f"SEED={number} failed; the message above says how to see it again.")
            case None:
                print(f"Time is up; {number - first} seeds passed, from SEED={first}.")
                return


if __name__ == "__main__":
    main()
