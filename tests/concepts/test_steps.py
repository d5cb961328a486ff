"""Concept 6 proven by what was executed, in one process and over the death of one. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.programs import apart
from tests.concepts.shelf import Shelf

EMAIL = {"customer_id": "cust_002", "email_text": "Where is my order?"}
CONVERSATION = ["look_up", "tell_team", "ask_model", "send_mail", "tell_team"]


def called() -> list[str]:
    return [name for name, _ in outside.calls]


async def test_the_body_of_each_of_the_five_steps_runs_once(shelf: Shelf) -> None:
    await shelf.send("concepts/steps.email", EMAIL)
    [output] = await shelf.outputs("answer-in-five-steps")
    assert called() == CONVERSATION
    reply = "answer 1 to: pro customer writes: Where is my order?"
    assert outside.asked("send_mail") == [("cust_002", reply)]
    assert output == reply


@pytest.mark.parametrize(("dies_after", "done"), [("ask_model", 3), ("send_mail", 4)])
async def test_a_killed_process_resumes_in_another_at_the_step_it_died_in(
    shelf: Shelf, dies_after: str, done: int
) -> None:
    """SIGKILL after the call and before the engine heard of it: that one step is repeated, those before it are not."""
    async with apart() as program:
        await program.start(die_after=dies_after)
        await shelf.send("concepts/steps.email", EMAIL)
        await program.died()
        assert called() == CONVERSATION[:done]
        await program.start()
        await shelf.past_retries()
        await shelf.ended("answer-in-five-steps")
    assert called() == CONVERSATION[:done] + CONVERSATION[done - 1 :]


async def test_what_is_broken_on_purpose_is_done_when_it_is_whole_again_and_nothing_before_it_twice(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a reader does it: BREAK=send_mail, and later without."""
    monkeypatch.setenv("BREAK", "send_mail")
    await shelf.send("concepts/steps.email", EMAIL)
    await shelf.until(lambda: outside.asked("send_mail") != [], "the broken attempt")
    monkeypatch.delenv("BREAK")
    await shelf.past_retries()
    await shelf.ended("answer-in-five-steps")
    assert called() == [*CONVERSATION[:3], "send_mail", *CONVERSATION[3:]]


async def test_without_steps_a_failure_at_the_end_repeats_all_before_it(shelf: Shelf) -> None:
    """The chat is away for the last message only: the customer gets two mails, and with steps one."""
    for event, mails in (("concepts/steps.piece", 2), ("concepts/steps.email", 1)):
        outside.forget()
        outside.fail("tell_team", None, ConnectionError("the chat is away"))
        await shelf.send(event, EMAIL)
        await shelf.until(lambda: len(outside.asked("tell_team")) == 2, "the last message")
        await shelf.past_retries()
        await shelf.until(lambda: called()[-1] == "tell_team" and len(called()) > len(CONVERSATION), "the repetition")
        await shelf.settle()
        assert len(outside.asked("send_mail")) == len(outside.asked("ask_model")) == mails
