"""A Postgres that is far away: a proxy that counts the trips to the server and back, and makes each take longer."""

import asyncio
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65536


class FarPostgres:
    """A proxy before the database at `url`, as an async context manager.

    What a client sends after it has heard from the server is another trip; each is delayed by `seconds`.
    """

    def __init__(self, url: str) -> None:
        self.trips = 0
        self.seconds = 0.0
        self._near = urlsplit(url)
        self._server: asyncio.Server
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for to_client in self._served.values():
            to_client.transport.abort()
        await asyncio.gather(*self._served)

    @property
    def url(self) -> str:
        """The address for DATABASE_URL."""
        login, _, _ = self._near.netloc.rpartition("@")
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._near._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._served[task] = to_client
        try:
            await self._pass_on(client, to_client)
        except OSError:
            to_client.close()
        finally:
            del self._served[task]

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._near.hostname, self._near.port)
        answered = True

        async def ask() -> None:
            nonlocal answered
            while data := await client.read(CHUNK_BYTES):
                if answered:
                    self.trips += 1
                    await asyncio.sleep(self.seconds)
                answered = False
                to_server.write(data)
            to_server.close()

        async def answer() -> None:
            nonlocal answered
            while data := await server.read(CHUNK_BYTES):
                answered = True
                to_client.write(data)
            to_client.close()

        try:
            await asyncio.gather(ask(), answer())
        finally:
            to_server.close()
