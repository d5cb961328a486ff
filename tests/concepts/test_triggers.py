"""Several triggers on one function, proven by what was executed. Runs without a database, a model or a network."""

from concepts import outside
from concepts.triggers import EVERYBODY
from tests.concepts.shelf import Shelf

FUNCTION = "triggers-refresh-profile"


async def test_either_event_wakes_the_one_function(shelf: Shelf) -> None:
    await shelf.send("concepts/triggers.signed_up", {"customer_id": "cust_001"})
    await shelf.outputs(FUNCTION)
    await shelf.send(
        "concepts/triggers.plan_changed", {"customer_id": "cust_002", "old_plan": "standard", "plan": "pro"}
    )
    assert await shelf.outputs(FUNCTION, 2) == [["cust_001"], ["cust_002"]]


async def test_what_the_expression_turns_away_starts_no_run(shelf: Shelf) -> None:
    await shelf.send("concepts/triggers.plan_changed", {"customer_id": "cust_002", "old_plan": "pro", "plan": "pro"})
    await shelf.send("concepts/triggers.signed_up", {"customer_id": "cust_001"})
    await shelf.outputs(FUNCTION)
    await shelf.settle()
    assert outside.asked("look_up") == ["cust_001"]
    assert len(await shelf.runs(FUNCTION)) == 1


async def test_a_change_that_does_not_say_from_what_counts_as_one(shelf: Shelf) -> None:
    await shelf.send("concepts/triggers.plan_changed", {"customer_id": "cust_002", "plan": "pro"})
    assert await shelf.outputs(FUNCTION) == [["cust_002"]]


async def test_a_tick_on_monday_brings_no_data_and_means_everybody(shelf: Shelf) -> None:
    await shelf.advance(days=7)
    assert await shelf.outputs(FUNCTION) == [EVERYBODY]
    assert outside.asked("look_up") == EVERYBODY


async def test_by_hand_it_means_everybody_too(shelf: Shelf) -> None:
    await shelf.invoke(f"concepts-{FUNCTION}")
    assert await shelf.outputs(FUNCTION) == [EVERYBODY]
