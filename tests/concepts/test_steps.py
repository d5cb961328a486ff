"""Concept 6 proven by what was executed, in one process and over the death of one. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.killable_shelf import apart
from tests.concepts.shelf import Shelf

EMAIL = {"customer_id": "cust_002", "subject": "Order", "body": "Where is my order?"}
CONVERSATION = ["look_up", "read_mail", "ask_model", "store", "tell_team"]
RECEIVED = "concepts/customer/email.received"
FUNCTION = "customer-support-conversation"


def called() -> list[str]:
    """What the conversation asked of the world. Concept 1 counts the same email, which is not its business."""
    return [name for name, _ in outside.calls if name != "count"]


@pytest.mark.conformance("Steps", "A step's body runs once, however often its function is called.")
async def test_the_body_of_each_of_the_five_steps_runs_once(shelf: Shelf) -> None:
    await shelf.send(RECEIVED, EMAIL)
    [output] = await shelf.outputs(FUNCTION)
    assert called() == CONVERSATION
    [draft] = outside.stored.values()
    assert draft["text"].startswith("answer 1 to: pro customer, thread of cust_002 from Grace")
    assert output == {"status": "drafted", "reviewer_notified": True}


@pytest.mark.parametrize(("dies_after", "done"), [("ask_model", 3), ("store", 4)])
@pytest.mark.conformance("Steps", "When its process dies, a run goes on in another one, at the step at which it was.")
async def test_a_killed_process_resumes_in_another_at_the_step_it_died_in(
    shelf: Shelf, dies_after: str, done: int
) -> None:
    """SIGKILL after the call and before the engine heard of it: that one step is repeated, those before it are not."""
    async with apart() as program:
        await program.start(die_after=dies_after)
        await shelf.send(RECEIVED, EMAIL)
        await program.died()
        assert called() == CONVERSATION[:done]
        await program.start()
        await shelf.past_retries()
        await shelf.ended(FUNCTION)
    assert called() == CONVERSATION[:done] + CONVERSATION[done - 1 :]
    assert len(outside.stored) == 1, "saved twice, it is one draft"


async def test_what_is_broken_on_purpose_is_done_when_it_is_whole_again_and_nothing_before_it_twice(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a reader does it: BREAK=store, and later without."""
    monkeypatch.setenv("BREAK", "store")
    await shelf.send(RECEIVED, EMAIL)
    await shelf.until(lambda: outside.asked("store") != [])
    monkeypatch.delenv("BREAK")
    await shelf.past_retries()
    await shelf.ended(FUNCTION)
    assert called() == [*CONVERSATION[:3], "store", *CONVERSATION[3:]]


async def test_without_steps_a_failure_at_the_end_repeats_all_before_it(shelf: Shelf) -> None:
    """The chat is away for the first message: the model is paid twice, and with steps once."""
    for event, times in (("concepts/steps.piece", 2), (RECEIVED, 1)):
        outside.forget()
        outside.fail("tell_team", ConnectionError("the chat is away"))
        await shelf.send(event, EMAIL)
        await shelf.until(lambda: len(outside.asked("tell_team")) == 1)
        await shelf.past_retries()
        await shelf.until(lambda: len(outside.asked("tell_team")) == 2)
        await shelf.settle()
        assert len(outside.asked("store")) == len(outside.asked("ask_model")) == times
