"""Step chaining proven by what was executed. Runs without a database, a model or a network."""

from functools import partial

from concepts import outside
from tests.concepts.shelf import Shelf

HOT, COLD = {"lead_id": "lead_1", "message": "Call me!"}, {"lead_id": "lead_2", "message": "Just looking."}


async def test_each_link_takes_what_the_link_before_returned(shelf: Shelf) -> None:
    await shelf.send("concepts/chaining.lead", HOT)
    await shelf.asked("tell_team", 1)
    assert outside.asked("ask_model") == ["Is this lead hot or cold? standard: Call me!"]


async def test_the_branch_stays_what_it_was_though_the_model_would_now_say_otherwise(shelf: Shelf) -> None:
    await shelf.send("concepts/chaining.lead", HOT)
    await shelf.asked("tell_team", 1)
    await shelf.send("concepts/chaining.meeting_booked", {"lead_id": "lead_1"})
    assert await shelf.outputs("chaining-lead") == ["lead_1 meets sales"]
    assert [name for name, _ in outside.calls] == ["look_up", "ask_model", "tell_team"]


async def test_a_cold_lead_gets_two_letters_four_days_apart(shelf: Shelf) -> None:
    await outside.ask_model("so that the next answer is cold")
    await shelf.send("concepts/chaining.lead", COLD)
    await shelf.asked("send_mail", 1)
    await shelf.advance(days=3, hours=23)
    await shelf.asked("send_mail", 1)
    await shelf.advance(hours=1)
    assert await shelf.outputs("chaining-lead") == ["lead_2 has two letters"]
    assert outside.asked("send_mail") == [("lead_2", "What we do"), ("lead_2", "What it would cost you")]
    assert outside.asked("tell_team") == []


async def test_a_hot_lead_without_a_date_joins_the_letters_after_three_days(shelf: Shelf) -> None:
    await shelf.send("concepts/chaining.lead", HOT)
    await shelf.asked("tell_team", 1)
    await shelf.advance(days=3)
    await shelf.asked("send_mail", 1)
    await shelf.advance(days=4)
    assert await shelf.outputs("chaining-lead") == ["lead_1 has two letters"]
    assert len(outside.asked("ask_model")) == 1


async def test_a_date_that_another_lead_made_is_not_this_ones(shelf: Shelf) -> None:
    await shelf.send("concepts/chaining.lead", HOT)
    await shelf.asked("tell_team", 1)
    await shelf.send("concepts/chaining.meeting_booked", {"lead_id": "lead_9"})
    await shelf.settle()
    assert await shelf.runs("chaining-lead", "COMPLETED") == []
    await shelf.send("concepts/chaining.meeting_booked", {"lead_id": "lead_1"})
    await shelf.ended("chaining-lead")


async def test_judged_in_passing_the_lead_is_promised_a_call_and_then_gets_the_brochure(shelf: Shelf) -> None:
    await shelf.send("concepts/chaining.judged_in_passing", HOT)
    await shelf.asked("send_mail", 1)
    assert len(outside.asked("tell_team")) == 1
    assert len(outside.asked("ask_model")) > 1
    await shelf.eventually(partial(shelf.runs, "chaining-wrong", "COMPLETED"), [])
