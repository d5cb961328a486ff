"""Dead letters proven by counting attempts. Runs without any account."""

import asyncio

import fastapi
import inngest
import inngest.fast_api
import pytest

from concepts import outside
from tests.concepts.shelf import Shelf
from tests.concepts.test_retries import ADA, DECLINED, DOWN, first_attempt, times
from tests.serving import listening, synced


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


@pytest.mark.conformance("Failures", "on_failure is not retried; a function on inngest/function.failed is.")
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
    failed = [*await shelf.ended("retries-charge", "FAILED"), *await shelf.ended("brief-the-team", "FAILED")]
    names = ["concepts-retries-charge", "concepts-brief-the-team"]
    letters = [(name, run.id, "NonRetriableError") for name, run in zip(names, failed, strict=True)]
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


@pytest.mark.conformance("Failures", "A run that inngest/function.failed started sends none when it fails.")
async def test_a_dead_letter_that_fails_does_not_make_another(shelf: Shelf) -> None:
    outside.fail("note_failure", *[inngest.NonRetriableError("the list is gone")] * 9)
    await shelf.send("concepts/retries.charge", DECLINED)
    await shelf.ended("dead-letter", "FAILED")
    await shelf.past_retries()
    await shelf.settle()
    assert len(await shelf.runs("dead-letter")) == times("note_failure") == 1
