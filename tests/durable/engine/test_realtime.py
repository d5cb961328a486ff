"""Realtime channels with the SDK's own publisher and tokens; a page is stood for by a websocket and an event stream."""

import asyncio
import base64
import json
from typing import Any

import httpx
import inngest
import pytest
import websockets
from inngest.experimental import realtime

from tests.durable.engine.world import World


def address(world: World, path: str) -> str:
    """A websocket address of the engine."""
    return world.server.origin.replace("http", "ws") + path


async def token(world: World, *topics: str, channel: str = "room") -> str:
    """A token for topics of one channel."""
    granted = await realtime.get_subscription_token(world.client, channel, list(topics))
    assert (granted["channel"], granted["topics"]) == (channel, list(topics))
    return str(granted["key"])


async def received(socket: websockets.ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next messages; fails when fewer come."""
    async with asyncio.timeout(5):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def test_a_runs_progress_reaches_the_page_that_may_see_it(world: World) -> None:
    @world.on("go")
    async def works(ctx: inngest.Context) -> None:
        for percent in (50, 100):

            async def tell(percent: int = percent) -> None:
                await realtime.publish(world.client, f"run:{ctx.event.data['k']}", "progress", {"percent": percent})

            await ctx.step.run(f"tell {percent}", tell)

    await world.start()
    key = await token(world, "progress", channel="run:7")
    async with websockets.connect(address(world, f"/v1/realtime/connect?token={key}")) as page:
        await world.sent("go", k=8)
        await world.sent("go", k=7)
        first, second = await received(page, 2)
    assert [first["data"], second["data"]] == [{"percent": 50}, {"percent": 100}]
    assert (first["kind"], first["channel"], first["topic"]) == ("data", "run:7", "progress")


async def test_a_token_says_what_it_is_for_and_how_long(world: World) -> None:
    key = await token(world, "news")
    claims = json.loads(base64.urlsafe_b64decode(key.split(".")[1] + "=="))
    assert (claims["iss"], claims["exp"] - claims["iat"], claims["publish"]) == ("rt.inngest.com", 60, False)
    assert claims["topics"] == [_topic("news")]


async def test_only_the_topics_of_the_token_are_heard_and_more_can_be_added(world: World) -> None:
    key, more = await token(world, "news"), await token(world, "secret")
    async with websockets.connect(address(world, "/v1/realtime/connect?token=" + key)) as page:
        await realtime.publish(world.client, "room", "secret", {"n": 1})
        await realtime.publish(world.client, "elsewhere", "news", {"n": 2})
        await realtime.publish(world.client, "room", "news", {"n": 3})
        await page.send(json.dumps({"kind": "sub", "data": more}))
        await page.send(json.dumps({"kind": "unsub", "data": [_topic("news")]}))
        await page.send("garbage")
        await asyncio.sleep(0.05)
        await realtime.publish(world.client, "room", "news", {"n": 4})
        await realtime.publish(world.client, "room", "secret", {"n": 5})
        assert [message["data"]["n"] for message in await received(page, 2)] == [3, 5]


def _topic(name: str) -> dict[str, str]:
    return {"env_id": "00000000-0000-4000-b000-000000000000", "channel": "room", "name": name, "kind": "run"}


async def test_without_a_token_or_with_an_old_one_nothing_is_heard(world: World) -> None:
    key = await token(world, "news")
    async with httpx.AsyncClient(base_url=world.server.origin) as http:
        forged = await http.post(
            "/v1/realtime/publish?channel=room&topic=news", json={}, headers={"Authorization": f"Bearer {key}"}
        )
        assert (forged.status_code, forged.json()["error"]) == (401, "Not authenticated for publishing")
        await world.advance(seconds=61)
        for wrong in ("", "nonsense", key):
            assert (await http.get("/v1/realtime/sse", params={"token": wrong})).status_code == 401
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(address(world, f"/v1/realtime/connect?token={wrong}"))
            assert refused.value.response.status_code == 401
        assert (await http.post("/v1/realtime/token", json={"x": 1})).status_code == 400


async def test_a_page_can_listen_to_server_sent_events(world: World) -> None:
    key = await token(world, "news")
    async with (
        httpx.AsyncClient(base_url=world.server.origin) as http,
        http.stream("GET", "/v1/realtime/sse", params={"token": key}) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        await realtime.publish(world.client, "room", "news", {"n": 1})
        lines = stream.aiter_lines()
        line = await asyncio.wait_for(anext(lines), 5)
        assert json.loads(line.removeprefix("data: "))["data"] == {"n": 1}


async def test_text_and_streams_are_published_as_the_official_server_does(world: World) -> None:
    key = await token(world, "news")
    path = "/v1/realtime/publish?channel=room&topic=news"
    async with (
        httpx.AsyncClient(base_url=world.server.origin) as http,
        websockets.connect(address(world, "/v1/realtime/connect?token=" + key)) as page,
    ):
        await http.post(path + '&metadata={"m":1}', content="plain words")
        await http.post(path, content="one two", headers={"content-type": "text/stream"})
        plain, start, chunk, end = await received(page, 4)
    assert (plain["data"], plain["metadata"]) == ("plain words", {"m": 1})
    assert [m["kind"] for m in (start, chunk, end)] == ["datastream-start", "chunk", "datastream-end"]
    assert (chunk["data"], chunk["stream_id"]) == ("one two", start["data"])
