"""In production each event is one line of JSON, with the ids by which it is found again and nothing about a person."""

import json
import logging
import traceback
from datetime import UTC, datetime

from telemetry.current import current

LOGGER = logging.getLogger("customer-support")


class JsonLines(logging.Formatter):
    """A record as a line of JSON.

    Of an exception it tells the type and where it was raised. The message is left out, because it may quote an email or
    a row.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        run = current.get()
        if run is not None:
            line |= {
                "function": run.function_id,
                "run_id": run.run_id,
                "event_id": run.event_id,
                "request_id": run.request_id,
                "attempt": run.attempt,
                "trace_id": run.trace_id,
            }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["raised_at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def install() -> None:
    """Write the app's log as lines of JSON, unless somebody has said already where it goes."""
    if LOGGER.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
