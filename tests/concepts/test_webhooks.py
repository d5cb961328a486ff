"""Concept 3 proven by who was woken, and with what. Runs without a database, a model or a network."""

from typing import Any

from concepts import outside, webhooks
from tests.concepts.shelf import Shelf


def notice(kind: str = "ticket.created", notice_id: str = "n-1") -> dict[str, Any]:
    """What the help desk sends."""
    requester = {"external_id": "cust_002", "email": "grace@example.com", "locale": "en"}
    comment = {"body": "Where is my order?", "attachments": [], "via": {"channel": "web"}}
    ticket = {"id": 4711, "requester": requester, "comment": comment, "tags": ["orders"]}
    return {"id": notice_id, "type": kind, "api_version": "2", "data": {"ticket": ticket, "previous": None}}


async def test_the_name_decides_who_is_woken(shelf: Shelf) -> None:
    await webhooks.receive(notice("ticket.created", "n-1"))
    await shelf.ended("webhooks-answer-ticket")
    assert [name for name, _ in outside.calls] == ["ask_model", "send_mail"]
    await webhooks.receive(notice("ticket.closed", "n-2"))
    await shelf.ended("webhooks-announce-closed")
    await shelf.settle()
    assert [name for name, _ in outside.calls] == ["ask_model", "send_mail", "tell_team"]


async def test_a_typo_in_the_name_wakes_nobody_and_nobody_is_told(shelf: Shelf) -> None:
    await webhooks.receive(notice("ticket.craeted", "n-3"))
    await webhooks.receive(notice("ticket.created", "n-4"))
    await shelf.ended("webhooks-answer-ticket")
    await shelf.settle()
    functions = ["webhooks-answer-ticket", "webhooks-announce-closed", "webhooks-escalate-ticket-wrong"]
    assert [len(await shelf.runs(function)) for function in functions] == [1, 0, 0]
    assert outside.asked("tell_team") == []


async def test_the_transform_flattens_the_payload_and_keeps_the_address_outside(shelf: Shelf) -> None:
    event = webhooks.transform(notice())
    assert (event.name, event.id) == ("concepts/webhooks.ticket.created", "helpdesk-n-1")
    assert event.data == {"customer_id": "cust_002", "ticket_id": 4711, "text": "Where is my order?"}
    await webhooks.receive(notice())
    assert await shelf.asked("ask_model", 1) == ["Where is my order?"]
    assert [to for to, _ in await shelf.asked("send_mail", 1)] == ["cust_002"]


async def test_the_payload_as_the_provider_sends_it_passes_no_expression(shelf: Shelf) -> None:
    await shelf.send(webhooks.TICKET_CREATED, notice())
    await webhooks.receive(notice())
    await shelf.asked("send_mail", 1)
    assert len(await shelf.runs("webhooks-answer-ticket")) == 1


async def test_a_notice_delivered_twice_is_one_event(shelf: Shelf) -> None:
    await webhooks.receive(notice())
    await webhooks.receive(notice())
    await shelf.asked("send_mail", 1)
