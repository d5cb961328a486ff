"""Concept 9 proven by counting attempts. Runs without any account."""

import asyncio

import fastapi
import inngest
import inngest.fast_api
import pytest

from concepts import outside, retries
from tests.concepts.programs import listening, synced
from tests.concepts.shelf import Shelf

DOWN = ConnectionError("down for a moment")
ADA = {"customer_id": "cust_001"}
DECLINED = {"customer_id": "cust_002", "order_id": "declined"}


def times(name: str) -> int:
    return len(outside.asked(name))


async def first_attempt(shelf: Shelf, name: str) -> None:
    await shelf.until(lambda: times(name) > 0, f"the first attempt of {name}")


async def test_a_transient_failure_costs_its_step_one_more_attempt_and_the_step_before_none(shelf: Shelf) -> None:
    outside.fail("ask_model", DOWN)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "ask_model")
    await shelf.past_retries()
    [output] = await shelf.outputs("retries-brief")
    assert output["partial"] is False
    assert (times("look_up"), times("ask_model"), times("tell_team")) == (1, 2, 1)


async def test_each_step_has_its_own_budget_of_attempts(shelf: Shelf) -> None:
    """Nine failures, and a run of at most three retries completes: no step fails a fourth time."""
    for name in ("look_up", "ask_model", "tell_team"):
        outside.fail(name, *[DOWN] * 3)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "look_up")
    await shelf.advance(hours=1)
    [output] = await shelf.outputs("retries-brief")
    assert output["partial"] is False
    assert (times("look_up"), times("ask_model"), times("tell_team")) == (4, 4, 4)


async def test_a_step_that_fails_once_more_than_its_budget_fails_the_run(shelf: Shelf) -> None:
    outside.fail("look_up", *[DOWN] * 4)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "look_up")
    await shelf.advance(hours=1)
    await shelf.ended("retries-brief", "FAILED")
    assert (times("look_up"), times("ask_model")) == (4, 0)


async def test_a_step_that_has_used_up_its_attempts_is_caught_and_the_rest_goes_on_as_partial(shelf: Shelf) -> None:
    outside.fail("ask_model", *[DOWN] * 4)
    await shelf.send("concepts/retries.brief", ADA)
    await first_attempt(shelf, "ask_model")
    await shelf.advance(hours=1)
    [output] = await shelf.outputs("retries-brief")
    assert output == {"advice": None, "partial": True}
    assert (times("look_up"), times("ask_model"), outside.asked("tell_team")) == (1, 4, ["no advice"])


async def test_a_retry_comes_when_the_busy_model_says(shelf: Shelf) -> None:
    """After an hour; by its usual backoff it would have come after half a minute."""
    outside.fail("ask_model", outside.BusyError(3600))
    await shelf.send("concepts/retries.question", {"question": "Why?"})
    await first_attempt(shelf, "ask_model")
    await shelf.advance(minutes=59)
    assert times("ask_model") == 1
    await shelf.advance(minutes=2)
    await shelf.ended("retries-later")
    assert times("ask_model") == 2


async def test_a_permanent_failure_is_not_tried_again(shelf: Shelf) -> None:
    await shelf.send("concepts/retries.charge", DECLINED)
    await shelf.ended("retries-charge", "FAILED")
    await shelf.past_retries()
    assert (await shelf.asked("pay", 1), outside.paid) == ([("declined", 4900, "declined")], [])


async def test_on_failure_is_called_once_when_the_run_has_failed_and_not_before(shelf: Shelf) -> None:
    outside.fail("pay", *[DOWN] * 5)
    await shelf.send("concepts/retries.charge", {"customer_id": "cust_002", "order_id": "A-1001"})
    await first_attempt(shelf, "pay")
    await shelf.advance(hours=1)
    assert [name for name, _ in outside.calls if name != "note_failure"] == ["pay"] * 5 + ["send_mail"]
    assert outside.asked("send_mail") == [("cust_002", "We could not charge your card.")]


async def test_on_failure_is_not_called_for_a_run_that_recovers(shelf: Shelf) -> None:
    outside.fail("pay", DOWN)
    await shelf.send("concepts/retries.charge", {"customer_id": "cust_002", "order_id": "A-1001"})
    await first_attempt(shelf, "pay")
    await shelf.past_retries()
    await shelf.ended("retries-charge")
    await shelf.settle()
    assert (times("pay"), times("send_mail"), times("note_failure")) == (2, 0, 0)


async def test_on_failure_is_not_tried_again_but_the_dead_letter_is(shelf: Shelf) -> None:
    outside.fail("send_mail", DOWN)
    outside.fail("note_failure", DOWN)
    await shelf.send("concepts/retries.charge", DECLINED)
    await first_attempt(shelf, "note_failure")
    await shelf.past_retries()
    await shelf.ended("dead-letter")
    assert (times("send_mail"), times("note_failure")) == (1, 2)


async def test_every_function_of_the_shelf_that_fails_leaves_one_dead_letter_without_its_customer(shelf: Shelf) -> None:
    """Two functions, one with an on_failure handler of its own and one without."""
    outside.fail("look_up", inngest.NonRetriableError("ada@example.com is unknown"))
    await shelf.send("concepts/retries.charge", DECLINED)
    await shelf.send("concepts/retries.brief", ADA)
    failed = [*await shelf.ended("retries-charge", "FAILED"), *await shelf.ended("retries-brief", "FAILED")]
    names = ["concepts-retries-charge", "concepts-retries-brief"]
    letters = [(name, run["id"], "NonRetriableError") for name, run in zip(names, failed, strict=True)]
    assert sorted(await shelf.asked("note_failure", 2)) == sorted(letters)


async def test_the_failures_of_other_apps_are_not_the_shelf_s(shelf: Shelf) -> None:
    client, failed = inngest.Inngest(app_id="another", is_production=False), asyncio.Event()

    async def break_down(ctx: inngest.Context) -> None:
        failed.set()
        raise inngest.NonRetriableError("broken")

    trigger = inngest.TriggerEvent(event="another/event")
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [client.create_function(fn_id="break", trigger=trigger)(break_down)])
    async with listening(app) as url:
        await synced(url)
        await shelf.send("another/event", {})
        await failed.wait()
        await shelf.send("concepts/retries.charge", DECLINED)
        await shelf.asked("note_failure", 1)
    assert outside.asked("note_failure")[0][0] == "concepts-retries-charge"


async def test_a_dead_letter_that_fails_does_not_make_another(shelf: Shelf) -> None:
    outside.fail("note_failure", *[inngest.NonRetriableError("the list is gone")] * 9)
    await shelf.send("concepts/retries.charge", DECLINED)
    await shelf.ended("dead-letter", "FAILED")
    await shelf.past_retries()
    await shelf.settle()
    assert len(await shelf.runs("dead-letter")) == times("note_failure") == 1


@pytest.mark.parametrize(("event", "function_id"), [("caught", "retries-caught-wrong"), ("decline", "retries-decline")])
async def test_a_caught_permanent_error_runs_its_step_again_and_a_decline_as_a_value_does_not(
    shelf: Shelf, event: str, function_id: str
) -> None:
    """One step comes after the charge: without a memory of it, it is made before that step and after it."""
    await shelf.send(f"concepts/retries.{event}", DECLINED)
    [output] = await shelf.outputs(function_id)
    assert (times("send_mail"), output) == (1, "the card is declined")
    assert times("pay") == {"caught": 2, "decline": 1}[event]


async def test_whoever_catches_more_than_a_step_error_also_catches_the_wish_to_be_retried_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt is taken for the last word, and the step runs again all the same, at once."""

    async def busy(order_id: str) -> str:
        await outside.pay(order_id, 4900)
        raise inngest.RetryAfterError("later", 3_600_000)

    monkeypatch.setattr(retries, "charge", busy)
    await shelf.send("concepts/retries.caught", {"customer_id": "cust_002", "order_id": "A-1001"})
    [output] = await shelf.outputs("retries-caught-wrong")
    assert (output, outside.paid) == ("later", [("A-1001", 4900)] * 2)
