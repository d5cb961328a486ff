"""The rows that telemetry leaves in the database: they gather for 0.1 seconds, and are written in one trip.

A process that ends in good order writes them first; one that is killed loses those of its last moment. No failure is
raised, and nobody waits for a row: an email is worth more than what is known of its cost.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import asyncpg

import db
from web.limits import within

GATHER_SECONDS = 0.1
# How long a write may take.
WRITE_SECONDS = 3
CALL = """
    key, run_id, event_id, model, api, request_id, response_id, input_tokens, cached_tokens, written_tokens,
    output_tokens, reasoning_tokens, error, seconds
"""
EXECUTION = "key, function_id, run_id, attempt"
WRITE = f"""
    with calls as (
        insert into model_calls ({CALL}) select {CALL} from jsonb_populate_recordset(null::model_calls, $1)
        on conflict (key) do nothing
    )
    insert into executions ({EXECUTION}) select {EXECUTION} from jsonb_populate_recordset(null::executions, $2)
    on conflict (key) do nothing
"""  # noqa: S608
# What is wrong with a row itself, and not with the database or the way to it.
UNSTORABLE = (
    TypeError,
    ValueError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
Row: TypeAlias = dict[str, Any]
logger = logging.getLogger("customer-support")


class Rows:
    """What has gathered in one event loop. It takes one connection at a time, so that the emails have the others."""

    def __init__(self) -> None:
        self._gathered: list[Row] = []
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, row: Row) -> None:
        """Have a row written with the others. Its keys are the columns of `model_calls` or those of `executions`."""
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._begin)
        self._gathered.append(db.clean(row))

    async def written(self) -> None:
        """Write what has gathered, and wait until all of it is there, for 3 seconds at most."""
        await asyncio.wait({self._begin()}, timeout=WRITE_SECONDS)

    def _begin(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._write_all())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _write_all(self) -> None:
        async with self._one_at_a_time:
            gathered, self._gathered = self._gathered, []
            if gathered:
                await write(gathered)


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Rows] = WeakKeyDictionary()


def here() -> Rows:
    """The rows of this event loop."""
    return _of_loop.setdefault(asyncio.get_running_loop(), Rows())


async def write(rows: Sequence[Row]) -> None:
    """Write the rows that are not there yet. One that cannot be stored costs no other, and the log names it."""
    calls = [row for row in rows if "model" in row]
    counted = [row for row in rows if "model" not in row]
    try:
        await within(WRITE_SECONDS, db.fetch(WRITE, json.dumps(calls), json.dumps(counted)))
    except UNSTORABLE as error:
        if len(rows) == 1:
            _lost(rows, error)
        else:
            for row in rows:
                await write([row])
    except Exception as error:
        _lost(rows, error)


def _lost(rows: Sequence[Row], error: Exception) -> None:
    for row in rows:
        if "model" in row:
            tokens = f"{row['input_tokens']} tokens read, {row['output_tokens']} written"
            logger.error("The usage of run %s was not kept (%s): %s", row["run_id"], tokens, type(error).__name__)
        else:
            logger.warning("An execution of run %s was not counted: %s", row["run_id"], type(error).__name__)
