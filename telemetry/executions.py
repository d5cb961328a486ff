"""Counts what the engine charges for: each run of a function, and each later try of one of its steps."""

import logging

import db
from telemetry.current import WRITE_SECONDS, Run
from web.limits import within

logger = logging.getLogger("customer-support")


def keep(run: Run, *, done: int, asked_for: str) -> None:
    """Have a row written, while the work goes on, if this call is a new execution. It never fails.

    `done` is how many steps of the run are remembered. `asked_for` is the step that the engine wants, of several that
    run side by side. A try that never reached the app is not counted, nor is a call that was repeated counted twice.
    """
    if done == 0:
        run.writes.add(_keep(run.run_id, run, 0))
    if run.attempt:
        run.writes.add(_keep(f"{run.run_id}:{done}:{asked_for}:{run.attempt}", run, run.attempt))


async def _keep(key: str, run: Run, attempt: int) -> None:
    try:
        await within(WRITE_SECONDS, _write(key, run, attempt))
    except Exception as error:
        logger.warning("An execution of run %s was not counted: %s", run.run_id, type(error).__name__)


async def _write(key: str, run: Run, attempt: int) -> None:
    await db.fetch(
        "insert into executions (key, function_id, run_id, attempt) values ($1, $2, $3, $4) on conflict do nothing",
        key,
        run.function_id,
        run.run_id,
        attempt,
    )
