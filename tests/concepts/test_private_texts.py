"""Private texts proven by what the engine keeps. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

MESSAGE = {"customer_id": "cust_002", "message_id": "m-77"}
PRIVATE = ["Grace Hopper", "grace@example.com", "charged twice"]


@pytest.mark.parametrize(
    ("event", "function_id", "seen"),
    [
        ("text", "private-text-wrong", PRIVATE),
        ("encrypted", "private-text-encrypted", []),
        ("references", "private-references", []),
    ],
)
async def test_the_engine_keeps_what_steps_return_unless_it_is_encrypted_or_only_a_reference(
    shelf: Shelf, event: str, function_id: str, seen: list[str]
) -> None:
    await shelf.send(f"concepts/private_texts.{event}", MESSAGE)
    await shelf.ended(function_id)
    [(to, reply)] = outside.asked("send_mail")
    assert (to, all(text in reply for text in PRIVATE)) == ("cust_002", True)
    kept = shelf.stored()
    assert [text for text in PRIVATE if text in kept] == seen
    assert ("__ENCRYPTED__" in kept) is (event == "encrypted")


async def test_a_draft_that_is_stored_twice_is_sent_as_it_was_first(shelf: Shelf) -> None:
    """The step that failed after it had stored its draft runs again; the reference means the first one."""
    outside.stored["draft-m-77"] = "the first draft"
    await shelf.send("concepts/private_texts.references", MESSAGE)
    await shelf.ended("private-references")
    assert outside.asked("send_mail") == [("cust_002", "the first draft")]


async def test_encryption_does_not_cover_the_text_of_an_exception(shelf: Shelf) -> None:
    outside.fail("ask_model", *[ValueError(f"cannot answer {PRIVATE[1]}")] * 5)
    await shelf.send("concepts/private_texts.encrypted", MESSAGE)
    await shelf.until(lambda: outside.asked("ask_model") != [])
    await shelf.advance(hours=1)
    await shelf.ended("private-text-encrypted", "FAILED")
    assert [text for text in PRIVATE if text in shelf.stored()] == [PRIVATE[1]]
