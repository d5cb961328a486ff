"""Concept 3 proven by who was woken, and with what. Runs without a database, a model or a network."""

from typing import Any
from uuid import uuid4

from concepts import outside, webhooks
from tests.concepts.shelf import Shelf


def notice(kind: str = "ticket.created") -> dict[str, Any]:
    """What the help desk sends."""
    requester = {"external_id": "cust_002", "email": "grace@example.com", "locale": "en"}
    comment = {"body": "Where is my order?", "attachments": [], "via": {"channel": "web"}}
    ticket = {"id": 4711, "requester": requester, "comment": comment, "tags": ["orders"]}
    return {"id": str(uuid4()), "type": kind, "api_version": "2", "data": {"ticket": ticket, "previous": None}}


async def test_the_name_decides_who_is_woken(shelf: Shelf) -> None:
    await webhooks.receive(notice("ticket.created"))
    await shelf.ended("webhooks-answer-ticket")
    assert [name for name, _ in outside.calls] == ["ask_model", "send_mail"]
    await webhooks.receive(notice("ticket.closed"))
    await shelf.ended("webhooks-announce-closed")
    await shelf.settle()
    assert [name for name, _ in outside.calls] == ["ask_model", "send_mail", "tell_team"]


async def test_a_typo_in_the_name_wakes_nobody_and_nobody_is_told(shelf: Shelf) -> None:
    await webhooks.receive(notice("ticket.craeted"))
    await webhooks.receive(notice("ticket.created"))
    await shelf.ended("webhooks-answer-ticket")
    await shelf.settle()
    functions = ["webhooks-answer-ticket", "webhooks-announce-closed", "webhooks-escalate-ticket-wrong"]
    assert [len(await shelf.runs(function)) for function in functions] == [1, 0, 0]
    assert outside.asked("tell_team") == []


async def test_the_transform_flattens_the_payload_and_keeps_the_address_outside(shelf: Shelf) -> None:
    sent = notice()
    event = webhooks.transform(sent)
    assert (event.name, event.id) == ("concepts/webhooks.ticket.created", f"helpdesk-{sent['id']}")
    assert event.data == {"customer_id": "cust_002", "ticket_id": 4711, "text": "Where is my order?"}
    await webhooks.receive(sent)
    assert await shelf.asked("ask_model", 1) == ["Where is my order?"]
    assert [to for to, _ in await shelf.asked("send_mail", 1)] == ["cust_002"]


async def test_the_payload_as_the_provider_sends_it_passes_no_expression(shelf: Shelf) -> None:
    await shelf.send(webhooks.TICKET_CREATED, notice())
    await webhooks.receive(notice())
    await shelf.asked("send_mail", 1)
    assert len(await shelf.runs("webhooks-answer-ticket")) == 1


async def test_a_notice_delivered_twice_is_one_event(shelf: Shelf) -> None:
    sent = notice()
    await webhooks.receive(sent)
    await webhooks.receive(sent)
    await shelf.asked("send_mail", 1)
