"""Concept 10 proven by calls, tokens and what the engine keeps. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

EMAIL = {"customer_id": "cust_002", "email_text": "I was charged twice for order A-1001."}
MESSAGE = {"customer_id": "cust_002", "message_id": "m-77"}
PRIVATE = ["Grace Hopper", "grace@example.com", "charged twice"]
DOWN = ConnectionError("down for a moment")


async def test_a_finished_agent_run_is_not_paid_again_when_a_later_step_fails(shelf: Shelf) -> None:
    outside.fail("send_mail", DOWN)
    await shelf.send("concepts/ai_calls.email", EMAIL)
    await shelf.until(lambda: outside.asked("send_mail") != [], "the first attempt")
    await shelf.past_retries()
    await shelf.ended("ai-one-step")
    assert (len(outside.asked("ask_model")), len(outside.asked("send_mail"))) == (4, 2)


@pytest.mark.parametrize(
    ("event", "function_id", "calls", "tokens"),
    [("email", "ai-one-step", 8, 158), ("long-email", "ai-step-by-step", 5, 109)],
)
async def test_a_retry_repeats_less_of_a_run_that_is_broken_into_steps(
    shelf: Shelf, event: str, function_id: str, calls: int, tokens: int
) -> None:
    """The last of four turns fails once."""
    outside.fail("ask_model", None, None, None, DOWN)
    await shelf.send(f"concepts/ai_calls.{event}", EMAIL)
    await shelf.until(lambda: len(outside.asked("ask_model")) == 4, "four turns")
    await shelf.past_retries()
    await shelf.ended(function_id)
    assert (len(outside.asked("ask_model")), outside.tokens()) == (calls, tokens)


@pytest.mark.parametrize(
    ("event", "function_id", "seen"),
    [("text", "ai-text-wrong", PRIVATE), ("encrypted", "ai-text-encrypted", []), ("references", "ai-references", [])],
)
async def test_the_engine_keeps_what_steps_return_unless_it_is_encrypted_or_only_a_reference(
    shelf: Shelf, event: str, function_id: str, seen: list[str]
) -> None:
    await shelf.send(f"concepts/ai_calls.{event}", MESSAGE)
    await shelf.ended(function_id)
    [(to, reply)] = outside.asked("send_mail")
    assert (to, all(text in reply for text in PRIVATE)) == ("cust_002", True)
    kept = shelf.stored()
    assert [text for text in PRIVATE if text in kept] == seen
    assert ("__ENCRYPTED__" in kept) is (event == "encrypted")


async def test_a_draft_that_is_stored_twice_is_sent_as_it_was_first(shelf: Shelf) -> None:
    """The step that failed after it had stored its draft runs again; the reference means the first one."""
    outside.stored["draft-m-77"] = "the first draft"
    await shelf.send("concepts/ai_calls.references", MESSAGE)
    await shelf.ended("ai-references")
    assert outside.asked("send_mail") == [("cust_002", "the first draft")]


async def test_encryption_does_not_cover_the_text_of_an_exception(shelf: Shelf) -> None:
    outside.fail("ask_model", *[ValueError(f"cannot answer {PRIVATE[1]}")] * 5)
    await shelf.send("concepts/ai_calls.encrypted", MESSAGE)
    await shelf.until(lambda: outside.asked("ask_model") != [], "the first attempt")
    await shelf.advance(hours=1)
    await shelf.ended("ai-text-encrypted", "FAILED")
    assert [text for text in PRIVATE if text in shelf.stored()] == [PRIVATE[1]]
