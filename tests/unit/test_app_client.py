"""How the stand-in engine reads what an app answers."""

import asyncio

from offline.inngest_server.core.app_client import AppClient
from offline.inngest_server.core.clock import Clock
from offline.inngest_server.core.scheduler import Scheduler
from offline.inngest_server.core.workers import Workers

HEAD = b"HTTP/1.0 201 Created\r\nx-inngest-sdk: py\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b' {"status": 200, "body": "1"}'


async def test_an_answer_in_http_1_0_has_no_chunks_whatever_its_header_says() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + BODY)
        writer.close()

    clock = Clock()
    client = AppClient(clock, Workers(clock, Scheduler(clock)))
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        async with client.session.post(f"http://{host}:{port}") as response:
            assert await response.read() == BODY
    await client.close()
