"""Concept 7 proven by how often the model was paid and who got mail. Runs without any account."""

import pytest

from concepts import memoization, outside
from tests.concepts.shelf import Shelf

ORDER = ["cust_001", "cust_002", "cust_003"]
WRONG, RIGHT = "one-name-for-all-wrong", "a-name-for-each"
LOOPS = {WRONG: "concepts/memoization.loop", RIGHT: "concepts/memoization.names"}


async def reminded(shelf: Shelf, function_id: str) -> list[str]:
    """Wait for the end of the loop; who got a mail."""
    for _ in ORDER:
        await shelf.past(seconds=4)
    await shelf.ended(function_id)
    return [to for to, _ in outside.asked("send_mail")]


@pytest.mark.conformance("Steps", "Code between the steps runs at every call of the function.")
async def test_a_call_between_steps_is_paid_at_every_call_of_the_function_and_hears_another_answer(
    shelf: Shelf,
) -> None:
    """Two steps: the model is asked before the first, before the second and before the end."""
    await shelf.send("concepts/memoization.outside", {"customer_id": "cust_002"})
    [output] = await shelf.outputs("fetch-outside-a-step-wrong")
    assert len(outside.asked("ask_model")) == 3
    [(_, sent)], [told] = outside.asked("send_mail"), outside.asked("tell_team")
    assert (sent[:8], told[:8], output[:8]) == ("answer 1", "answer 2", "answer 3")


async def test_a_call_inside_a_step_is_paid_once_and_everybody_hears_its_answer(shelf: Shelf) -> None:
    await shelf.send("concepts/memoization.inside", {"customer_id": "cust_002"})
    [output] = await shelf.outputs("fetch-inside-a-step")
    assert len(outside.asked("ask_model")) == 1
    [(_, sent)], [told] = outside.asked("send_mail"), outside.asked("tell_team")
    assert sent == told == output


async def test_a_retry_of_a_later_step_pays_a_call_between_steps_once_more(shelf: Shelf) -> None:
    """And the first attempt's answer, which the customer may have seen, is not the one that is sent."""
    outside.fail("send_mail", ConnectionError("the mailbox is down"))
    await shelf.send("concepts/memoization.outside", {"customer_id": "cust_002"})
    await shelf.until(lambda: outside.asked("send_mail") != [])
    await shelf.past_retries()
    await shelf.ended("fetch-outside-a-step-wrong")
    assert len(outside.asked("ask_model")) == 4


@pytest.mark.parametrize("function_id", LOOPS)
@pytest.mark.conformance("Steps", "A step's id may be repeated in a loop.")
async def test_in_a_loop_one_name_and_a_name_for_each_both_do_as_long_as_the_order_stays(
    shelf: Shelf, function_id: str
) -> None:
    """The SDK counts a repeated name up: it is not taken for the same step."""
    await shelf.send(LOOPS[function_id], {})
    assert await reminded(shelf, function_id) == ORDER


@pytest.mark.parametrize(("function_id", "mailed"), [(WRONG, ["cust_001", "cust_002", "cust_001"]), (RIGHT, [])])
async def test_a_deploy_with_another_order_writes_twice_to_one_and_never_to_another_unless_steps_are_named_after_them(
    shelf: Shelf, function_id: str, mailed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await shelf.send(LOOPS[function_id], {})
    await shelf.until(lambda: outside.asked("send_mail") != [])
    monkeypatch.setattr(memoization, "ORDER", ORDER[::-1])
    assert await reminded(shelf, function_id) == (mailed or ["cust_001", "cust_003", "cust_002"])
