"""Connections to the API's listener: a client that holds them leaves room for others."""

import asyncio
import time
from typing import Any

import pytest

from ostiary.api import server
from ostiary.api.server import ApiServer
from ostiary.gate.attempts import Attempts

pytestmark = pytest.mark.real


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says yes."""
    del scope, receive
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def answer(port: int, source: str) -> bytes:
    """The first line of what a request gets; nothing where the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_one_network_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds as many as one network may has no more of them, until it lets one go; others have."""
    monkeypatch.setattr(server, "MAX_OF_ONE", 3)
    api = ApiServer(app, None, Attempts(time.monotonic))
    port = await api.start("127.0.0.1", 0)
    try:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await answer(port, "127.0.0.1") == b""
        assert b"204" in await answer(port, "127.0.0.2")
        held[0][1].close()
        await held[0][1].wait_closed()
        async with asyncio.timeout(10):
            while b"204" not in await answer(port, "127.0.0.1"):
                pass
        for _, writer in held:
            writer.close()
    finally:
        await api.stop()
