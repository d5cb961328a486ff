"""A worker without an inbound port, as the process it is. Runs without a database, a model or a network."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from concepts import connect, outside
from concepts.app import functions
from offline.processes import Process, Processes
from tests.concepts.shelf import Shelf

FUNCTION = "answer-inside"
EMAIL = {"customer_id": "cust_001"}
TRACE = "query($id: String!) { run(runID: $id) { trace { childrenSpans { name status childrenSpans { name } } } } }"


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes
        # Asked to end, a worker waits for the step that it is at.
        for process in [*processes._running]:
            processes.kill(process)


async def dial(shelf: Shelf, processes: Processes) -> Process:
    """`python -m concepts.connect`, connected."""
    before = await connections()
    worker = processes.start("worker", "-m", "concepts.connect", environment={"INNGEST_DEV": os.environ["INNGEST_DEV"]})

    async def connected() -> bool:
        assert worker.running, worker.tail()
        return len(await connections() - before) == 1

    await shelf.until(connected, True)
    return worker


async def connections() -> set[str]:
    async with httpx.AsyncClient(base_url=os.environ["INNGEST_DEV"]) as http:
        return {worker["id"] for worker in (await http.get("/v0/connect/envs/dev/conns")).json()["data"]}


async def sleeping(shelf: Shelf) -> int:
    runs = await shelf.runs(FUNCTION, "RUNNING")
    return len([run for run in runs if "think" in await attempts(shelf, run.id)])


async def steps_of(shelf: Shelf, run_id: str) -> list[dict[str, Any]]:
    run = ((await shelf.gql(TRACE, id=run_id)) or {}).get("run")
    # The official server has no trace yet of a run that has just begun.
    return list(run["trace"]["childrenSpans"]) if run and run["trace"] else []


async def attempts(shelf: Shelf, run_id: str) -> dict[str, int]:
    # A step that succeeded at once is shown without its attempt.
    return {step["name"]: len(step["childrenSpans"]) or 1 for step in await steps_of(shelf, run_id)}


@pytest.mark.conformance("Connect and realtime", "A worker that dials in needs no port of its own.")
async def test_it_works_without_a_port_on_which_anybody_could_call_it(shelf: Shelf, processes: Processes) -> None:
    worker = await dial(shelf, processes)
    await shelf.send("concepts/connect.email", EMAIL)
    await shelf.until(lambda: sleeping(shelf), 1)
    listening = [
        socket for socket in psutil.Process(worker.pid).net_connections() if socket.status == psutil.CONN_LISTEN
    ]
    assert listening == []
    assert worker.tail() == ""


async def test_its_runs_wait_while_it_is_gone_and_the_next_worker_goes_on_with_them(
    shelf: Shelf, processes: Processes
) -> None:
    first = await dial(shelf, processes)
    await shelf.send("concepts/connect.email", EMAIL)
    await shelf.until(lambda: sleeping(shelf), 1)
    processes.kill(first)
    await dial(shelf, processes)
    await shelf.advance(hours=12)
    assert await shelf.outputs(FUNCTION) == ["answer 1 to: Answer a enterprise customer"]
    [run] = await shelf.runs(FUNCTION)
    tried = await attempts(shelf, run.id)
    assert [tried[step] for step in ("look-up", "answer")] == [1, 1]


@pytest.mark.conformance("Connect and realtime", "A worker that is told to stop finishes its step.")
async def test_when_it_is_told_to_stop_it_finishes_the_step_it_is_at(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where the step can be held: the SDK's handlers take the place of this process's for a while."""
    begun, release = asyncio.Event(), asyncio.Event()
    look_up = outside.look_up

    async def slowly(customer_id: str) -> dict[str, str]:
        begun.set()
        await release.wait()
        return await look_up(customer_id)

    monkeypatch.setattr(outside, "look_up", slowly)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        worker = asyncio.create_task(connect.main())
        await shelf.until(how_many_connections, 1)
        await shelf.send("concepts/connect.email", EMAIL)
        await shelf.until(begun.is_set)
        os.kill(os.getpid(), signal.SIGTERM)
        done, _ = await asyncio.wait([worker], timeout=0.5)
        assert not done
        release.set()
        await shelf.until(worker.done)
    finally:
        release.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    [run] = await shelf.runs(FUNCTION)

    async def kept() -> bool:
        return ("look-up", "COMPLETED") in [(step["name"], step["status"]) for step in await steps_of(shelf, run.id)]

    await shelf.until(kept, True)
    assert outside.asked("look_up") == ["cust_001"]


async def how_many_connections() -> int:
    return len(await connections())


def test_it_is_not_served_over_http_beside_the_shelf() -> None:
    assert connect.answer_inside not in functions
