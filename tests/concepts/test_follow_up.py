"""Handing over proven by what was sent, and when. Runs without a database, a model or a network."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

LEAD = {"lead_id": "lead_1", "lead": {"message": "Call me!"}}


def letters() -> list[str]:
    return [text for _, text in outside.asked("send_mail") if text == "Have you seen our offer?"]


async def test_the_lead_is_followed_up_once_at_the_time_that_the_event_names(shelf: Shelf) -> None:
    await shelf.send("api/new-lead", LEAD)
    assert await shelf.outputs("leads/initial") == [{"status": "completed"}]
    await shelf.advance(hours=23, minutes=59)
    assert letters() == []
    await shelf.advance(minutes=2)
    assert await shelf.outputs("follow-up") == ["reminded"]
    assert len(letters()) == 1


@pytest.mark.conformance("Steps", "Several events are sent in one step.")
async def test_several_events_are_sent_in_one_step(shelf: Shelf) -> None:
    await shelf.send("api/new-lead", LEAD)
    await shelf.ended("leads/initial")
    await shelf.settle()
    if shelf.stand_in is not None:
        names = {event.name for event in shelf.stand_in.state.events.values()}
        assert {"workflow/await-reply", "workflow/lead-counted"} <= names


async def test_a_bare_send_between_two_steps_is_sent_again_at_every_call(shelf: Shelf) -> None:
    await shelf.send("concepts/follow_up.wrong", {"lead_id": "lead_1"})
    await shelf.ended("leads/initial-wrong")
    await shelf.settle()
    assert len(await shelf.runs("follow-up")) == 2
