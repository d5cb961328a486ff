"""`python -m offline.bench` works; how fast anything is, is no test."""

import os
import subprocess
import sys

from tests.e2e.programs import ROOT


def test_the_benchmark_measures_what_it_says() -> None:
    command = [sys.executable, "-m", "offline.bench", "--quick"]
    bench = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False, timeout=100
    )
    assert bench.returncode == 0, bench.stderr
    for row in ("An email received", "The floor", "From approval event to refund row: median", "trips per refund"):
        assert row in bench.stdout
