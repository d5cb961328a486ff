"""The log of production: lines of JSON with the ids of the run and nothing about a person. Runs without anything."""

import json
import logging
import sys

import pytest

from telemetry import logs
from telemetry.current import Run, current, trace_id


def line(message: str, *arguments: object, error: BaseException | None = None) -> dict[str, object]:
    """A record as it is written."""
    raised = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("customer-support", logging.ERROR, __file__, 1, message, arguments, raised)
    (text,) = logs.JsonLines().format(record).splitlines()
    return dict(json.loads(text))


def test_a_line_inside_a_run_has_the_ids_by_which_it_is_found_again() -> None:
    token = current.set(Run("handle-customer-email", "run-1", "mail-1", 2, "request-1", "mail-1"))
    try:
        said = line("Run %s\nfailed", "run-1")
    finally:
        current.reset(token)
    assert said.pop("time")
    assert said == {
        "level": "error",
        "message": "Run run-1\nfailed",
        "function": "handle-customer-email",
        "run_id": "run-1",
        "event_id": "mail-1",
        "request_id": "request-1",
        "attempt": 2,
        "trace_id": trace_id("mail-1"),
    }
    assert "run_id" not in line("outside any run")


def test_of_an_exception_the_type_and_the_place_are_told_and_not_the_message() -> None:
    try:
        raise ValueError("grace@example.com wrote: help")
    except ValueError as error:
        said = line("It went wrong", error=error)
    assert said["error"] == "ValueError"
    assert "test_logs.py" in str(said["raised_at"])
    assert "grace@example.com" not in json.dumps(said)


def test_a_log_that_is_configured_already_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As here, where pytest listens."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.NullHandler()])
    logs.install()
    assert logs.LOGGER.handlers == []
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(logs.LOGGER, "handlers", [])
    logs.install()
    logs.install()
    (handler,) = logs.LOGGER.handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
