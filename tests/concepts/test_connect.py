"""A worker without an inbound port, as the process it is. Runs without a database, a model or a network."""

import os
from collections.abc import Iterator

import httpx
import psutil
import pytest

import concepts
from concepts import connect
from offline.processes import Process, Processes
from tests.concepts.shelf import Shelf

FUNCTION = "connect-answer-inside"
EMAIL = {"customer_id": "cust_001"}
TRACE = "query($id: String!) { run(runID: $id) { trace { childrenSpans { name childrenSpans { name } } } } }"


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes


async def dial(shelf: Shelf, processes: Processes) -> Process:
    """`python -m concepts.connect`, connected."""
    before = await connections()
    worker = processes.start("worker", "-m", "concepts.connect", environment={"INNGEST_DEV": os.environ["INNGEST_DEV"]})

    async def connected() -> bool:
        assert worker.running, worker.tail()
        return len(await connections() - before) == 1

    await shelf.eventually(connected, True)
    return worker


async def connections() -> set[str]:
    async with httpx.AsyncClient(base_url=os.environ["INNGEST_DEV"]) as http:
        return {worker["id"] for worker in (await http.get("/v0/connect/envs/dev/conns")).json()["data"]}


async def sleeping(shelf: Shelf) -> int:
    runs = await shelf.runs(FUNCTION, "RUNNING")
    return len([run for run in runs if "think" in await attempts(shelf, run["id"])])


async def attempts(shelf: Shelf, run_id: str) -> dict[str, int]:
    answer = await shelf.gql(TRACE, id=run_id)
    # The official server has no trace yet of a run that has just begun.
    steps = answer["run"]["trace"]["childrenSpans"] if answer and answer["run"]["trace"] else []
    # A step that succeeded at once is shown without its attempt.
    return {step["name"]: len(step["childrenSpans"]) or 1 for step in steps}


async def test_it_works_without_a_port_on_which_anybody_could_call_it(shelf: Shelf, processes: Processes) -> None:
    worker = await dial(shelf, processes)
    await shelf.send("concepts/connect.email", EMAIL)
    await shelf.eventually(lambda: sleeping(shelf), 1)
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
    await shelf.eventually(lambda: sleeping(shelf), 1)
    processes.kill(first)
    await dial(shelf, processes)
    await shelf.advance(hours=12)
    assert await shelf.outputs(FUNCTION) == ["answer 1 to: Answer a enterprise customer"]
    [run] = await shelf.runs(FUNCTION)
    tried = await attempts(shelf, run["id"])
    assert [tried[step] for step in ("look-up", "answer")] == [1, 1]


def test_it_is_not_served_over_http_beside_the_shelf() -> None:
    assert connect.answer_inside not in concepts.functions
