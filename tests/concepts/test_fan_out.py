"""Concept 5 proven by which runs were executed. Runs without a database, a model or a network."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import inngest
import pytest

from concepts import outside, webhooks
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL

FAILED = {"charge_id": "ch_1"}
SUBSCRIBERS = ["refund-failed-notify-support", "refund-failed-update-risk-score", "refund-failed-post-slack"]
# The official server's development store would take minutes for them all.
CHILDREN = 500 if OFFICIAL else 5000


@pytest.mark.conformance("Events", "Each function that listens to an event has a run of its own.")
async def test_three_subscribers_of_one_event_each_have_a_run(shelf: Shelf) -> None:
    await shelf.send(webhooks.REFUND_FAILED, FAILED)
    returned = [await shelf.outputs(function) for function in SUBSCRIBERS]
    assert returned == [[{"status": "drafted"}], [{"new_risk_score": 0.42}], [None]]


def slack_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels cannot be posted to; people can be told."""
    tell_team = outside.tell_team

    async def refuse(text: str) -> None:
        if text.startswith("#"):
            raise inngest.NonRetriableError("Slack is down")
        await tell_team(text)

    monkeypatch.setattr(outside, "tell_team", refuse)


async def test_a_subscriber_that_fails_fails_alone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    slack_is_down(monkeypatch)
    await shelf.send(webhooks.REFUND_FAILED, FAILED)
    await shelf.ended("refund-failed-post-slack", "FAILED")
    await shelf.ended("refund-failed-notify-support")
    await shelf.ended("refund-failed-update-risk-score")
    assert outside.stored == {"risk-ch_1": 0.42}


@pytest.mark.conformance("Events", "One step sends 5,000 events, and each starts one run.")
async def test_one_step_starts_5000_children_and_each_runs_once(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", outside.logger.name)
    await shelf.send("concepts/fan_out.day_began", {"run_day": str(uuid4()), "customers": CHILDREN})
    async with asyncio.timeout(100):
        while len(outside.calls) < CHILDREN:
            await asyncio.sleep(0.05)
    await shelf.settle()
    assert Counter(outside.asked("check_health")) == {f"cust_{n:05}": 1 for n in range(CHILDREN)}
    if shelf.stand_in is not None:
        runs = Counter(run.function.local_id for run in shelf.stand_in.runs())
        assert runs == {"fan-out-health-checks": 1, "customer-health-check": CHILDREN}


@pytest.mark.conformance("Events", "Events with the same ids, sent by another run, start nothing again.")
async def test_a_parent_that_fans_out_again_starts_nobody_again(shelf: Shelf) -> None:
    run_day = str(uuid4())
    await shelf.send("concepts/fan_out.day_began", {"run_day": run_day, "customers": 20})
    await shelf.send("concepts/fan_out.day_began", {"run_day": run_day, "customers": 21})
    await shelf.ended("fan-out-health-checks", count=2)
    await shelf.asked("check_health", 21)


class HeldModel:
    """A model that keeps the investigation waiting until the test lets it answer."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def ask_model(self, prompt: str) -> str:
        self.asked.set()
        await self.may_answer.wait()
        return "It was lost."


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldModel]:
    model = HeldModel()
    monkeypatch.setattr(outside, "ask_model", model.ask_model)
    yield model
    model.may_answer.set()


@pytest.mark.conformance("Steps", "Whoever invokes a function gets its result.")
async def test_invoke_waits_for_the_result_of_the_other_function(shelf: Shelf, held: HeldModel) -> None:
    await shelf.send("concepts/fan_out.question", {"order_id": "A-1001"})
    await shelf.until(held.asked.is_set)
    [asking] = await shelf.runs("fan-out-ask-and-wait")
    assert asking.status == "Running"
    held.may_answer.set()
    assert await shelf.outputs("fan-out-ask-and-wait") == ["It was lost."]


@pytest.mark.conformance("Steps", "A step that sends an event does not wait for what the event starts.")
async def test_send_event_does_not_wait(shelf: Shelf, held: HeldModel) -> None:
    await shelf.send("concepts/fan_out.hint", {"order_id": "A-1001"})
    await shelf.until(held.asked.is_set)
    await shelf.ended("fan-out-pass-on")
    assert [run.status for run in await shelf.runs("fan-out-investigate")] == ["Running"]
    held.may_answer.set()
    await shelf.ended("fan-out-investigate")
