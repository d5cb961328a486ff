"""Counts what the engine charges for: each run of a function, and each later try of one of its steps."""

from telemetry import rows
from telemetry.current import Run


def keep(run: Run, *, done: int, asked_for: str) -> None:
    """Have a row written if this call is a new execution. It never fails.

    `done` is how many steps of the run are remembered. `asked_for` is the step that the engine wants, of several that
    run side by side. A try that never reached the app is not counted, nor is a call that was repeated counted twice.
    """
    if done == 0:
        rows.here().add(row_of(run.run_id, run, 0))
    if run.attempt:
        rows.here().add(row_of(f"{run.run_id}:{done}:{asked_for}:{run.attempt}", run, run.attempt))


def row_of(key: str, run: Run, attempt: int) -> rows.Row:
    """The row of an execution; of a run itself the attempt is 0."""
    return {"key": key, "function_id": run.function_id, "run_id": run.run_id, "attempt": attempt}
