"""Concept 14 proven by what was paid and sent. Runs without a database, a model or a network beyond this machine."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import inngest
import pytest

from concepts import outside, recovery, recovery_command
from concepts.engine_api import EngineApi, Run
from concepts.shelf import client
from tests.concepts.shelf import Shelf


@pytest.fixture
def since() -> str:
    """When this test began, for the command's window."""
    return datetime.now(UTC).isoformat()


async def command(*arguments: str) -> None:
    """What `python -m concepts.recovery` does."""
    await asyncio.to_thread(recovery_command.main, list(arguments))


async def failures(function_id: str, since: str) -> int:
    """How many failed runs the command finds, however long the list."""
    found = partial(EngineApi().runs, datetime.fromisoformat(since), None, [function_id], ["FAILED"])
    return len(await asyncio.to_thread(found))


def numbered(count: int) -> list[str]:
    return [f"order-{uuid4()}" for _ in range(count)]


async def order(shelf: Shelf, order_ids: list[str], price: str) -> None:
    for order_id in order_ids:
        await shelf.send("concepts/recovery.order", {"order_id": order_id, "price": price})


def deploy_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = recovery.in_cents

    async def fixed(price: str) -> int:
        return await broken(price.replace(",", "."))

    monkeypatch.setattr(recovery, "in_cents", fixed)


def paid() -> list[str]:
    return sorted(order_id for order_id, _ in outside.paid)


@pytest.mark.conformance("Cancelling and rerunning", "Failed runs are listed and run again (REST v2).")
async def test_failed_runs_are_run_again_on_the_fixed_code(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    orders, good = numbered(5), numbered(2)
    await order(shelf, orders, "12,50")
    await order(shelf, good, "12.50")
    await shelf.ended("recover-order", "FAILED", 5)
    await shelf.ended("recover-order", "COMPLETED", 2)
    deploy_the_fix(monkeypatch)
    await command("rerun", "--function", "recover-order", "--since", since, "--yes")
    await shelf.ended("recover-order", "COMPLETED", 7)
    assert paid() == sorted(orders + good)
    assert {cents for _, cents in outside.paid} == {1250}


async def test_a_dry_run_does_nothing_and_is_the_default(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await order(shelf, numbered(2), "12,50")
    failed = await shelf.ended("recover-order", "FAILED", 2)
    deploy_the_fix(monkeypatch)
    await command("rerun", "--function", "recover-order", "--since", since)
    await shelf.settle()
    assert len(await shelf.runs("recover-order")) == 2
    assert outside.paid == []
    told = capsys.readouterr().out
    assert all(run.id in told for run in failed)
    assert "Nothing was done" in told


async def test_a_second_rerun_finds_nothing_left_to_do(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await order(shelf, numbered(3), "12,50")
    await shelf.ended("recover-order", "FAILED", 3)
    deploy_the_fix(monkeypatch)
    for _ in range(2):
        await command("rerun", "--function", "recover-order", "--since", since, "--yes")
        await shelf.ended("recover-order", "COMPLETED", 3)
    await shelf.settle()
    assert len(await shelf.runs("recover-order")) == 6
    assert len(outside.paid) == 3
    assert "0 to rerun" in capsys.readouterr().out


async def test_what_was_paid_before_the_run_failed_is_not_paid_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    pay = outside.pay

    async def pay_and_die(order_id: str, cents: int, key: str | None = None) -> str:
        await pay(order_id, cents, key)
        monkeypatch.undo()
        raise ConnectionError("the process dies after the payment")

    monkeypatch.setattr(outside, "pay", pay_and_die)
    orders = numbered(1)
    await order(shelf, orders, "12.50")
    await shelf.ended("recover-order", "FAILED")
    await command("rerun", "--function", "recover-order", "--since", since, "--yes")
    await shelf.ended("recover-order", "COMPLETED")
    assert len(outside.asked("pay")) == 2
    assert outside.paid == [(orders[0], 1250)]


async def test_successful_runs_are_run_again_once_and_nothing_is_paid_twice(
    shelf: Shelf, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = numbered(2)
    await order(shelf, orders, "12.50")
    await shelf.ended("recover-order", "COMPLETED", 2)
    for _ in range(2):
        await command("rerun", "--function", "recover-order", "--since", since, "--status", "COMPLETED", "--yes")
        await shelf.ended("recover-order", "COMPLETED", 4)
    await shelf.settle()
    assert len(await shelf.runs("recover-order")) == 4
    assert (len(outside.asked("pay")), paid()) == (4, sorted(orders))
    assert "was run again already" in capsys.readouterr().out


async def test_what_fails_again_on_code_that_is_not_fixed_can_be_run_again(shelf: Shelf, since: str) -> None:
    await order(shelf, numbered(1), "12,50")
    for failures in (1, 2, 3):
        await shelf.ended("recover-order", "FAILED", failures)
        await command("rerun", "--function", "recover-order", "--since", since, "--yes")
    await shelf.ended("recover-order", "FAILED", 4)


async def between_two_orders(shelf: Shelf) -> str:
    """A time after which some milliseconds pass on either side, because the engine's times are whole ones."""
    await asyncio.sleep(0.005)
    now = shelf.now().isoformat()
    await asyncio.sleep(0.005)
    return now


async def test_only_the_window_and_the_named_function_are_run_again(shelf: Shelf, since: str) -> None:
    before, inside, after = (numbered(1) for _ in range(3))
    await order(shelf, before, "12,50")
    await shelf.ended("recover-order", "FAILED", 1)
    opened = await between_two_orders(shelf)
    await order(shelf, inside, "12,50")
    await shelf.ended("recover-order", "FAILED", 2)
    closed = await between_two_orders(shelf)
    await order(shelf, after, "12,50")
    failed = await shelf.ended("recover-order", "FAILED", 3)
    await command("rerun", "--function", "recover-offer", "--since", opened, "--until", closed, "--yes")
    await shelf.settle()
    assert len(await shelf.runs("recover-order")) == 3
    await command("rerun", "--since", opened, "--until", closed, "--yes")
    again = await shelf.ended("recover-order", "FAILED", 4)
    (rerun,) = [run for run in again if run.id not in {run.id for run in failed}]
    async with httpx.AsyncClient(base_url=shelf.url) as http:
        told = (await http.get(f"/v1/runs/{rerun.id}")).json()["data"]
    assert told["original_run_id"] == failed[1].id


async def test_more_failures_than_the_engine_lists_at_once_are_all_run_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = numbered(105)
    name = "concepts/recovery.order"
    await client.send([inngest.Event(name=name, data={"order_id": each, "price": "12,50"}) for each in orders])
    await shelf.settle()
    await shelf.until(partial(failures, "recover-order", since), 105)
    deploy_the_fix(monkeypatch)
    await command("rerun", "--function", "recover-order", "--since", since, "--yes")
    await shelf.until(lambda: len(outside.paid) >= 105)
    assert paid() == sorted(orders)
    told = capsys.readouterr().out
    assert "105 to rerun" in told
    assert "and 85 more" in told


async def test_a_failed_batch_is_left_alone_because_its_rerun_would_get_one_event_only(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuses(rows: dict[str, Any]) -> int:
        raise inngest.NonRetriableError("no such table")

    monkeypatch.setattr(outside, "store", refuses)
    account_id = f"account-{uuid4()}"
    tickets: list[dict[str, Any]] = [{"account_id": account_id, "ticket_id": str(number)} for number in range(50)]
    await client.send([inngest.Event(name="ticket/resolved", data=ticket) for ticket in tickets])
    await shelf.until(partial(failures, "batch-embed-tickets", since), 1)
    await command("rerun", "--function", "batch-embed-tickets", "--since", since, "--yes")
    await shelf.settle()
    assert await failures("batch-embed-tickets", since) == 1
    assert "a batch; send its events again" in capsys.readouterr().out


@pytest.mark.conformance("Cancelling and rerunning", "Runs are cancelled; a step that runs may finish (REST v2).")
async def test_runs_in_bulk_are_cancelled_asleep_waiting_and_queued_and_a_running_step_is_finished(
    shelf: Shelf, since: str
) -> None:
    asleep, busy = f"asleep-{uuid4()}", f"busy-{uuid4()}"
    await shelf.send("concepts/recovery.reminder", {"customer_id": asleep})
    await shelf.until(lambda: len(outside.asked("write_answer")) == 1)
    await shelf.settle()
    outside.hold()
    for _ in range(3):
        await shelf.send("concepts/recovery.reminder", {"customer_id": busy})
    await shelf.until(lambda: outside.busy[busy] == 1)
    assert len(await shelf.runs("recover-reminder", "QUEUED", "RUNNING")) == 4
    await command("cancel", "--function", "recover-reminder", "--since", since, "--yes")
    await shelf.ended("recover-reminder", "CANCELLED", 4)
    outside.release()
    await shelf.until(lambda: outside.busy[busy] == 0)
    await shelf.past(days=4)
    assert len(outside.asked("write_answer")) == 2, "the queued ones never ran"
    assert outside.asked("send_mail") == []


async def test_a_waiting_run_is_cancelled_in_bulk(shelf: Shelf, since: str) -> None:
    await shelf.send("concepts/recovery.reminder", {"customer_id": "cust_002"})
    await shelf.advance(hours=25)
    await command("cancel", "--function", "recover-reminder", "--since", since, "--yes")
    await shelf.ended("recover-reminder", "CANCELLED", 1)
    await shelf.advance(days=3)
    assert outside.asked("send_mail") == []


async def test_a_reminder_that_nobody_cancels_is_sent(shelf: Shelf) -> None:
    await shelf.send("concepts/recovery.reminder", {"customer_id": "cust_002"})
    await shelf.advance(days=4)
    assert outside.asked("send_mail") == [("cust_002", "Did you see our question?")]


async def test_a_dry_run_cancels_nothing_and_a_second_cancel_finds_nothing(
    shelf: Shelf, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await shelf.send("concepts/recovery.reminder", {"customer_id": f"cust-{uuid4()}"})
    await shelf.until(lambda: len(outside.asked("write_answer")) == 1)
    await command("cancel", "--function", "recover-reminder", "--since", since)
    assert len(await shelf.runs("recover-reminder", "RUNNING")) == 1
    await command("cancel", "--function", "recover-reminder", "--since", since, "--yes")
    await shelf.ended("recover-reminder", "CANCELLED")
    capsys.readouterr()
    await command("cancel", "--function", "recover-reminder", "--since", since, "--yes")
    assert "0 to cancel" in capsys.readouterr().out


async def test_an_event_cancels_the_runs_of_its_customer_and_no_others(shelf: Shelf) -> None:
    for customer_id in ("cust_002", "cust_003"):
        await shelf.send("concepts/recovery.reminder", {"customer_id": customer_id})
    await shelf.until(lambda: len(outside.asked("write_answer")) == 2)
    await shelf.settle()
    await shelf.send("concepts/recovery.customer-left", {"customer_id": "cust_002"})
    await shelf.ended("recover-reminder", "CANCELLED")
    await shelf.advance(days=4)
    assert [to for to, _ in outside.asked("send_mail")] == ["cust_003"]


async def test_a_run_that_is_not_through_in_its_time_is_cancelled_and_not_retried(shelf: Shelf) -> None:
    for customer_id, minutes in (("cust_002", 50), ("cust_003", 70)):
        await shelf.send("concepts/recovery.offer", {"customer_id": customer_id, "minutes": minutes})
    await shelf.advance(hours=3)
    assert [to for to, _ in outside.asked("send_mail")] == ["cust_002"]
    assert len(await shelf.runs("recover-offer", "CANCELLED")) == 1
    assert len(outside.asked("write_answer")) == 2


async def test_a_run_that_does_not_begin_in_its_time_is_cancelled(shelf: Shelf) -> None:
    if shelf.stand_in is None:
        pytest.skip("the official server's clock cannot be moved")
    outside.hold()
    await shelf.send("concepts/recovery.offer", {"customer_id": "cust_002", "minutes": 5})
    await shelf.until(lambda: outside.busy["all"] == 1)
    await shelf.send("concepts/recovery.offer", {"customer_id": "cust_003", "minutes": 5})
    await shelf.ended("recover-offer", "QUEUED")
    # Not `advance`: it would wait for the step that holds the slot.
    clock = shelf.stand_in.engine.clock
    clock.jump_to(clock.now() + timedelta(minutes=11).total_seconds())
    outside.release()
    await shelf.advance(hours=3)
    assert [to for to, _ in outside.asked("send_mail")] == ["cust_002"]
    assert len(await shelf.runs("recover-offer", "CANCELLED")) == 1
    assert len(outside.asked("write_answer")) == 1


def run(number: int, status: str, **changes: Any) -> Run:
    values: dict[str, Any] = {"function_id": "f", "event_id": "e", "is_batch": False, "is_cron": False} | changes
    return Run(f"{number:026}", status=status, queued_at=datetime(2026, 11, 20, number, tzinfo=UTC), **values)


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (run(1, "FAILED", is_batch=True), "a batch; send its events again"),
        (run(1, "FAILED", is_cron=True), "a cron run; invoke the function"),
        (run(1, "FAILED", function_id="gone"), "no such function"),
    ],
)
def test_what_cannot_be_run_again_is_left_alone_with_its_reason(left: Run, reason: str) -> None:
    chosen, lines = recovery_command.to_rerun([left], None, ["FAILED"], {"f"})
    assert chosen == []
    assert reason in lines[0]


def test_the_newest_run_of_an_event_decides_and_its_first_failure_dates_it() -> None:
    until = datetime(2026, 11, 20, 5, tzinfo=UTC)
    failed_twice = [run(4, "FAILED"), run(9, "FAILED")]
    repaired = [run(4, "FAILED", event_id="r"), run(9, "COMPLETED", event_id="r")]
    too_late = [run(6, "FAILED", event_id="l")]
    chosen, _ = recovery_command.to_rerun([*failed_twice, *repaired, *too_late], until, ["FAILED"], {"f"})
    assert chosen == [failed_twice[1]]


@pytest.mark.parametrize(
    "wrong", [["--last", "soon"], ["--since", "yesterday"], ["--status", "RUNNING"], ["--last", "0h"]]
)
def test_a_window_that_means_nothing_is_refused_in_a_sentence(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        recovery_command.main(["rerun", *wrong])
    assert wrong[1] in capsys.readouterr().err


async def test_the_command_runs_as_a_program_and_says_when_there_is_no_engine() -> None:
    environment = os.environ | {"INNGEST_DEV": "http://127.0.0.1:1"}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "concepts.recovery", "rerun"]
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    _, errors = await program.communicate()
    assert program.returncode == 1
    assert errors.decode().startswith("No engine at http://127.0.0.1:1")
