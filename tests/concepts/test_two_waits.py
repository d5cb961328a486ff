"""Two waits in a row proven by who was asked and what was paid. Runs without any account."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

FUNCTION = "refund-with-two-signatures"
ORDER = {"order_id": "A-1001", "amount_cents": 4900}


async def waiting(shelf: Shelf) -> str:
    """Start a run and let it come to its first wait; the id of its event."""
    request_id = (await shelf.send("concepts/two_waits.refund", ORDER)).id
    await shelf.until(lambda: outside.calls != [])
    await shelf.settle()
    return request_id


async def sign(shelf: Shelf, request_id: str, role: str, approved: object = True) -> None:
    await shelf.send("concepts/two_waits.signed", {"request_id": request_id, "role": role, "approved": approved})


def asked_for() -> list[str]:
    """Whose signature was asked for, in order."""
    return [text.split(":")[0] for text in outside.asked("tell_team")]


async def test_each_wait_has_its_own_day(shelf: Shelf) -> None:
    """Signed after 20 hours and after 40: together longer than either may take."""
    request_id = await waiting(shelf)
    await shelf.advance(hours=20)
    assert asked_for() == ["lead"]
    await sign(shelf, request_id, "lead")
    await shelf.settle()
    assert asked_for() == ["lead", "finance"]
    await shelf.advance(hours=20)
    await sign(shelf, request_id, "finance")
    await shelf.ended(FUNCTION)
    assert outside.paid == [("A-1001", 4900)]


@pytest.mark.parametrize("signed", [0, 1])
async def test_either_wait_can_end_it_without_money(shelf: Shelf, signed: int) -> None:
    request_id = await waiting(shelf)
    if signed:
        await sign(shelf, request_id, "lead")
        await shelf.settle()
    await shelf.advance(hours=24, minutes=1)
    [output] = await shelf.outputs(FUNCTION)
    assert (outside.paid, output, len(asked_for())) == ([], "not paid", signed + 1)


async def test_a_no_to_the_first_asks_nobody_else(shelf: Shelf) -> None:
    request_id = await waiting(shelf)
    await sign(shelf, request_id, "lead", approved=False)
    [output] = await shelf.outputs(FUNCTION)
    assert (outside.paid, output, asked_for()) == ([], "not paid", ["lead"])


async def test_a_signature_that_comes_before_its_own_wait_is_lost(shelf: Shelf) -> None:
    """One event ends one wait: the lead's does not end finance's, and finance's early one ends none."""
    request_id = await waiting(shelf)
    await sign(shelf, request_id, "finance")
    await shelf.settle()
    assert asked_for() == ["lead"]
    await sign(shelf, request_id, "lead")
    await shelf.asked("tell_team", 2)
    assert [outside.paid, await shelf.runs(FUNCTION, "COMPLETED")] == [[], []]
    await sign(shelf, request_id, "finance")
    await shelf.ended(FUNCTION)
    assert outside.paid == [("A-1001", 4900)]
