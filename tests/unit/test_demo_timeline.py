"""What the demo prints where, on strings in place of a terminal. Runs without an engine."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from offline.demo.claims import Claim, Claims
from offline.demo.timeline import Line, Timeline, console_for

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def after_the_last_redraw(terminal: Terminal) -> str:
    """What was printed for good: nothing is drawn over it any more."""
    return re.split(r"\033\[[0-9;?]*[A-Za-z]", terminal.getvalue())[-1]


def play(output: io.StringIO | io.TextIOWrapper) -> None:
    with Timeline(console_for(output)) as timeline:
        timeline.begin("D2", "An email is answered")
        timeline.put(Line("run", NOON, "running", "run-agent"))
        timeline.put(Line("run", NOON, "done", "run-agent", "12 ms"))
        timeline.put(Line("reply", NOON, "reply", "to Zoë", "Bonjour Zoë, " + "merci " * 20))


def test_a_pipe_gets_plain_lines_each_once_when_it_is_true() -> None:
    output = io.StringIO()
    play(output)
    assert "\033" not in output.getvalue()
    assert output.getvalue().count("run-agent") == 1
    assert "12:00:00 ✓ run-agent" in output.getvalue()
    assert ("merci " * 20).strip() in output.getvalue()


@pytest.mark.parametrize("name", ["NO_COLOR", "CI"])
def test_a_terminal_that_is_asked_for_it_gets_plain_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("NO_COLOR", "CI"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "1")
    output = Terminal()
    play(output)
    assert "\033" not in output.getvalue()


def test_an_encoding_without_signs_gets_other_signs() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    play(stream)
    assert b"12:00:00 + run-agent" in written.getvalue()
    assert b"Bonjour Zo?" in written.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_only_a_reply_takes_several(width: int) -> None:
    output = Terminal()
    console = Console(file=output, force_terminal=True, width=width, height=24, color_system=None)
    with Timeline(console) as timeline:
        timeline.begin("D5", "A refund waits")
        timeline.put(Line("event", NOON, "event", "customer/email.received", "Grace: " + "long " * 50))
        timeline.put(Line("reply", NOON, "reply", "to Grace", "kind " * 40))
    final = after_the_last_redraw(output).splitlines()
    assert all(len(line) <= width for line in final)
    assert sum("long" in line for line in final) == 1
    assert sum("kind" in line for line in final) > 1


def test_the_act_stays_on_the_screen_once() -> None:
    """Higher than the terminal: what was drawn while it ran must be gone when it is printed for good."""
    output = Terminal()
    with Timeline(Console(file=output, force_terminal=True, width=80, height=10, color_system=None)) as timeline:
        timeline.begin("D4", "Many")
        for number in range(30):
            at = NOON + timedelta(seconds=number)
            timeline.put(Line(str(number), at, "done", f"step-{number:02}"))
    last = after_the_last_redraw(output)
    assert [last.count(f"step-{number:02}") for number in range(30)] == [1] * 30


def test_the_table_says_in_words_what_does_not_hold() -> None:
    """The colour alone would not reach everybody."""
    output = io.StringIO()
    timeline = Timeline(console_for(output))
    timeline.console.print(
        timeline.table([Claim("D4", "At most 10", "peak 11", False), Claim("D2", "Once", "1", True)])
    )
    bad, good = [line for line in output.getvalue().splitlines() if line.startswith("D")]
    assert bad.split()[-2:] == ["✗", "NO"]
    assert good.split()[-2:] == ["✓", "yes"]


def test_brackets_in_what_is_shown_are_no_markup() -> None:
    output = io.StringIO()
    timeline = Timeline(console_for(output))
    claims = Claims()
    claims.check("D1", "[bold]text[/bold]", "[/]", True)
    timeline.console.print(timeline.table(claims))
    assert "[bold]text[/bold]" in output.getvalue()
