"""Several triggers on one function, proven by what was executed. Runs without a database, a model or a network."""

import pytest

from concepts import outside
from tests.concepts.shelf import Shelf

FUNCTION = "orders/handle-update"
ORDER = {"order_id": "A-1001", "old_quantity": 1, "quantity": 2}


@pytest.mark.parametrize(
    ("event", "output", "told"),
    [
        ("order/placed", "new", "pack A-1001"),
        ("order/updated", "updated", "pack A-1001 again"),
        ("order/cancelled", "cancelled", "unpack A-1001"),
    ],
)
@pytest.mark.conformance("Events", "A function may have several triggers.")
async def test_each_event_wakes_the_one_function_which_knows_what_woke_it(
    shelf: Shelf, event: str, output: str, told: str
) -> None:
    await shelf.send(event, ORDER)
    assert await shelf.outputs(FUNCTION) == [output]
    assert outside.asked("tell_team") == [told]


@pytest.mark.conformance("Events", "An event that does not fulfil the trigger's expression starts no run.")
async def test_what_the_expression_turns_away_starts_no_run(shelf: Shelf) -> None:
    await shelf.send("order/updated", ORDER | {"old_quantity": 2})
    await shelf.send("order/cancelled", ORDER)
    await shelf.outputs(FUNCTION)
    await shelf.settle()
    assert len(await shelf.runs(FUNCTION)) == 1


async def test_a_change_that_does_not_say_from_what_counts_as_one(shelf: Shelf) -> None:
    await shelf.send("order/updated", {"order_id": "A-1001", "quantity": 2})
    assert await shelf.outputs(FUNCTION) == ["updated"]


async def test_a_tick_on_monday_brings_no_data_and_means_all_orders(shelf: Shelf) -> None:
    await shelf.advance(days=7)
    assert await shelf.outputs(FUNCTION) == ["all"]


async def test_by_hand_it_means_all_orders_too(shelf: Shelf) -> None:
    await shelf.invoke(f"concepts-{FUNCTION}")
    assert await shelf.outputs(FUNCTION) == ["all"]
