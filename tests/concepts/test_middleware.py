"""Middleware proven by what it measured and handed over. Runs without a database, a model or a network."""

import pytest

from concepts import middleware, outside
from tests.concepts.shelf import Shelf

EMAIL = {"customer_id": "cust_002"}


@pytest.fixture(autouse=True)
def nothing_measured() -> None:
    """Forget what runs of other tests have measured, the README's among them."""
    middleware.timings.clear()
    middleware.noted.clear()


def steps(measured: list[tuple[str, float]]) -> list[str]:
    return [step for step, _ in measured]


async def test_each_step_is_measured_once_and_no_replay_is(shelf: Shelf) -> None:
    await shelf.send("concepts/middleware.email", EMAIL)
    await shelf.ended("middleware-answer")
    assert steps(middleware.timings) == ["look-up", "write"]


async def test_an_attempt_that_failed_is_measured_too(shelf: Shelf) -> None:
    outside.fail("ask_model", ConnectionError("the model is busy"))
    await shelf.send("concepts/middleware.email", EMAIL)
    await shelf.asked("ask_model", 1)
    await shelf.advance(minutes=1)
    await shelf.ended("middleware-answer")
    assert steps(middleware.timings) == ["look-up", "write", "write"]


async def test_what_is_measured_is_the_step_itself(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the step's own work moves."""
    now = 0.0

    async def slowly(_: str) -> str:
        nonlocal now
        now += 7.0
        return "Hello!"

    monkeypatch.setattr(middleware, "perf_counter", lambda: now)
    monkeypatch.setattr(outside, "ask_model", slowly)
    await shelf.send("concepts/middleware.email", EMAIL)
    await shelf.ended("middleware-answer")
    assert middleware.timings == [("look-up", 0.0), ("write", 7.0)]
    await shelf.send("concepts/middleware.by_hand", EMAIL)
    await shelf.ended("middleware-wrong")
    assert middleware.noted == [("look-up", 0.0), ("look-up", 0.0), ("write", 0.0)]


async def test_the_function_uses_what_it_is_handed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(customer_id: str) -> dict[str, str]:
        return {"id": customer_id, "tier": "platinum"}

    monkeypatch.setitem(middleware.dependencies, "look_up", elsewhere)
    await shelf.send("concepts/middleware.email", EMAIL)
    [reply] = await shelf.outputs("middleware-answer")
    assert "platinum" in reply
    assert outside.asked("look_up") == []
