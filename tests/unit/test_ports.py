"""A port that was chosen stays ours: neither chance nor a program that takes ports by itself gets it."""

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from offline.processes import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a port for a server that restarts")
# Takes every port that it is given, hundreds at once, and lets them go again.
TAKER = """
import socket
while True:
    taken = []
    for _ in range(500):
        taken.append(socket.create_server(("127.0.0.1", 0)))
    print(*(each.getsockname()[1] for each in taken), flush=True)
    for each in taken:
        each.close()
"""


@pytest.fixture
def taker() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, "-c", TAKER], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def serve_once(port: int) -> None:
    """Listen on the port, answer one connection, and be gone, as an app that is killed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()


async def test_a_server_restarts_on_its_port_while_a_program_takes_all_ports_it_can(
    taker: "subprocess.Popen[str]",
) -> None:
    port = free_port()
    assert taker.stdout is not None
    for _ in range(20):
        await serve_once(port)
        # Nobody listens now; the other program goes through hundreds of ports before the next start.
        assert str(port) not in (await asyncio.to_thread(taker.stdout.readline)).split()


def test_another_program_cannot_bind_a_kept_port_and_nobody_listens_there() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use") as refused:
        other.bind(("127.0.0.1", port))
    assert refused.value.errno == errno.EADDRINUSE
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
