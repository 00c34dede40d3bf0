"""A worker's side of what `workers` says."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

from ostiary.app.part import Part

READY: Final = b"serving\n"


class Order(msgspec.Struct, frozen=True):
    """What a worker is to do."""

    #: Protocol → (host, port).
    listen: Mapping[str, tuple[str, int]]
    #: See `Part`.
    shared: str

    def line(self) -> bytes:
        """As it is sent."""
        return msgspec.json.encode(self) + b"\n"


class Worker:
    """This process, one of several. `stop` is set when the one that began it is gone."""

    def __init__(self, number: int, stop: asyncio.Event) -> None:
        self._number = number
        self._stop = stop
        self._watching: asyncio.Task[None] | None = None
        self._pipe: asyncio.BaseTransport | None = None

    async def part(self) -> Part:
        """What it is to do. Raises ValueError where nobody tells it."""
        # From here on every line of the log says whose it is.
        structlog.contextvars.bind_contextvars(worker=self._number)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        self._pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        try:
            order = msgspec.json.decode(await reader.readline(), type=Order)
        except msgspec.DecodeError as error:
            raise ValueError("workers are begun by `ostiary serve --workers` alone") from error
        self._watching = asyncio.create_task(self._watch(reader))
        return Part(self._number, order.listen, Path(order.shared))

    def serves(self) -> None:
        """Say so."""
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), READY)

    def close(self) -> None:
        """It ends."""
        if self._pipe is not None:
            self._pipe.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        await reader.read(1)
        self._stop.set()
