"""Steps and attempts as the official dev server lists them, told from what it only planned. Needs nothing running."""

from typing import Any

from gates.spans import steps_of

# A run of the Quick Win whose farewell failed once, as it was recorded: name, kind, status, and seconds from its start.
RECORDED = [
    ("greeting", "RUN", "COMPLETED", 0.339, 3.005),
    ("greeting", "RUN", "COMPLETED", 0.338, 3.006),
    ("farewell", "RUN", "FAILED", 3.052, 18.060),  # planned when the sleep began
    ("sleep", "SLEEP", "COMPLETED", 3.052, 18.053),
    ("farewell", "RUN", "FAILED", 18.055, 18.059),
    ("farewell", "RUN", "COMPLETED", 18.060, 23.364),  # planned when the first attempt had failed
    ("farewell", "RUN", "COMPLETED", 23.360, 23.363),
]


def span(name: str, kind: str, status: str, started: float, ended: float) -> dict[str, Any]:
    times = {name: f"2026-11-20T20:00:{at:06.3f}Z" for name, at in {"startedAt": started, "endedAt": ended}.items()}
    return {"name": name, "stepId": name, "stepOp": kind, "status": status, **times}


def test_what_was_planned_during_a_sleep_or_a_pause_is_no_attempt() -> None:
    steps = steps_of([span(*each) for each in RECORDED])
    assert [(step.name, [attempt.status for attempt in step.attempts]) for step in steps] == [
        ("greeting", ["COMPLETED"]),
        ("sleep", ["COMPLETED"]),
        ("farewell", ["FAILED", "COMPLETED"]),
    ]
    assert steps[2].attempts[0].started.second == 18
