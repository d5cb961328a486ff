"""Concept 10 proven by calls and tokens. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

THREAD = {"thread_id": "thread-7"}
DOWN = ConnectionError("down for a moment")


async def test_a_finished_agent_run_is_not_paid_again_when_a_later_step_fails(shelf: Shelf) -> None:
    outside.fail("tell_team", DOWN)
    await shelf.send("customer/thread.summary_requested", THREAD)
    await shelf.until(lambda: outside.asked("tell_team") != [])
    await shelf.past_retries()
    await shelf.ended("summarize-customer-thread")
    assert (len(outside.asked("ask_model")), len(outside.asked("tell_team"))) == (4, 2)


@pytest.mark.parametrize(
    ("event", "function_id", "calls", "tokens"),
    [
        ("customer/thread.summary_requested", "summarize-customer-thread", 8, 174),
        ("concepts/ai_calls.long", "summarize-step-by-step", 5, 119),
    ],
)
async def test_a_retry_repeats_less_of_a_run_that_is_broken_into_steps(
    shelf: Shelf, event: str, function_id: str, calls: int, tokens: int
) -> None:
    """The last of four turns fails once."""
    outside.fail("ask_model", None, None, None, DOWN)
    await shelf.send(event, THREAD)
    await shelf.until(lambda: len(outside.asked("ask_model")) == 4)
    await shelf.past_retries()
    await shelf.ended(function_id)
    assert (len(outside.asked("ask_model")), outside.tokens()) == (calls, tokens)


async def test_the_agents_run_is_one_step_and_its_summary_is_remembered(shelf: Shelf) -> None:
    await shelf.send("customer/thread.summary_requested", THREAD)
    assert await shelf.outputs("summarize-customer-thread") == [{"summary": "answer 4"}]
    assert [name for name, _ in outside.calls] == ["read_mail", *["ask_model"] * 4, "tell_team"]
