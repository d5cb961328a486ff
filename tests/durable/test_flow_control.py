"""A burst is worked off within the limits, and nothing of it is lost."""

import asyncio
from collections import Counter

import pytest

import settings
import worker
from tests.durable.driver import Engine, actions

CUSTOMERS = [f"cust_00{number}" for number in range(1, 6)]


async def test_a_burst_stays_within_ten_at_once_and_two_per_customer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: Counter[str] = Counter()
    peaks: Counter[str] = Counter()
    original = worker.answer

    async def observed(email: str, ticket: worker.Ticket) -> worker.Outcome:
        customer = ticket["customer_id"]
        running[customer] += 1
        peaks[customer] = max(peaks[customer], running[customer])
        peaks["all"] = max(peaks["all"], running.total())
        await asyncio.sleep(0.5)
        running[customer] -= 1
        return await original(email, ticket)

    monkeypatch.setattr(worker, "answer", observed)
    await asyncio.gather(
        *(engine.email(f"Question {n}: what does shipping cost?", CUSTOMERS[n % 5]) for n in range(40))
    )
    await engine.until(actions, {"message_received": 40, "message_sent": 40})
    assert 5 < peaks["all"] <= 10
    assert {peaks[customer] for customer in CUSTOMERS} == {2}


def test_the_limits_are_the_courses_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.email_concurrency() == 10
    monkeypatch.setenv("EMAIL_CONCURRENCY", "3")
    assert settings.email_concurrency() == 3
