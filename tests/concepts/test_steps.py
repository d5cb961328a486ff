"""Concept 6 proven by what was executed. Runs without a database, a model or a network."""

from concepts import outside
from tests.concepts.shelf import Shelf

EMAIL = {"customer_id": "cust_002", "email_text": "Where is my order?"}


async def test_every_step_of_the_conversation_is_executed_once(shelf: Shelf) -> None:
    await shelf.send("concepts/steps.email", EMAIL)
    await shelf.ended("answer-in-five-steps")
    assert [name for name, _ in outside.calls] == ["look_up", "tell_team", "ask_model", "send_mail", "tell_team"]
