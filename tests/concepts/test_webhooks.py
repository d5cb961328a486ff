"""Concept 3 proven by who was woken, and with what. Runs without a database, a model or a network."""

import json
from typing import Any
from uuid import uuid4

import httpx

from concepts import outside, webhooks
from tests.concepts.shelf import Shelf

HANDLER, MISSPELT = "handle-stripe-refund-failed", "misspelt-refund-failed-wrong"


def notice(kind: str = "charge.refund.failed") -> dict[str, Any]:
    """What Stripe sends."""
    refund = {"id": "re_1", "charge": "ch_1", "amount": 4900, "failure_reason": "expired_or_canceled_card"}
    refund |= {"billing": "grace@example.com", "metadata": {"desk": 7}}
    return {"id": str(uuid4()), "type": kind, "api_version": "2", "data": {"object": refund}}


async def knock(shelf_url: str, sent: dict[str, Any], signature: str | None = None) -> httpx.Response:
    """Post a notice through the first door."""
    body = json.dumps(sent).encode()
    headers = {"signature": webhooks.sign(body) if signature is None else signature}
    async with httpx.AsyncClient(base_url=shelf_url, trust_env=False) as http:
        return await http.post("/webhooks/stripe", content=body, headers=headers)


def told() -> list[str]:
    """What the handler told the team. Concept 5 listens to the same event and posts to a channel."""
    return [text for text in outside.asked("tell_team") if not text.startswith("#")]


async def test_a_notice_through_the_first_door_starts_the_function_behind_the_second(
    shelf: Shelf, shelf_url: str
) -> None:
    answer = await knock(shelf_url, notice())
    assert answer.json() == {"ok": True}
    assert await shelf.outputs(HANDLER) == [{"ticket": "ticket-ch_1", "action": "notified"}]
    assert told() == ["ticket-ch_1: the refund of ch_1 failed"]


async def test_a_wrong_signature_brings_nothing_in(shelf: Shelf, shelf_url: str) -> None:
    for signature in ("", "wrong", "\u00e9"):
        async with httpx.AsyncClient(base_url=shelf_url, trust_env=False) as http:
            headers = {b"signature": signature.encode()}
            answer = await http.post("/webhooks/stripe", json=notice(), headers=headers)
        assert answer.status_code == 400
    await shelf.settle()
    assert await shelf.runs(HANDLER) == []


async def test_the_name_decides_who_is_woken_and_a_typo_wakes_nobody(shelf: Shelf, shelf_url: str) -> None:
    for kind in ("charge.refund.fialed", "charge.updated", "charge.refund.failed"):
        assert (await knock(shelf_url, notice(kind))).status_code == 200
    await shelf.ended(HANDLER)
    await shelf.settle()
    assert [len(await shelf.runs(function)) for function in (HANDLER, MISSPELT)] == [1, 0]


async def test_the_transform_flattens_the_payload_and_keeps_the_address_outside(shelf: Shelf) -> None:
    sent = notice()
    event = webhooks.reshape(sent)
    assert (event.name, event.id) == ("concepts/stripe/charge.refund.failed", f"stripe-{sent['id']}")
    assert event.data == {"charge_id": "ch_1", "amount_cents": 4900, "reason": "expired_or_canceled_card"}


async def test_the_payload_as_the_provider_sends_it_passes_no_expression(shelf: Shelf, shelf_url: str) -> None:
    await shelf.send(webhooks.REFUND_FAILED, notice())
    await knock(shelf_url, notice())
    await shelf.ended(HANDLER)
    await shelf.settle()
    assert len(await shelf.runs(HANDLER)) == len(told()) == 1


async def test_a_notice_delivered_twice_is_one_event(shelf: Shelf, shelf_url: str) -> None:
    sent = notice()
    await knock(shelf_url, sent)
    await knock(shelf_url, sent)
    await shelf.ended(HANDLER)
    await shelf.settle()
    assert len(told()) == 1
