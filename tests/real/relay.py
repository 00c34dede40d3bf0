"""A TCP relay that fails the way networks do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Between a client and a server on loopback. Connections made later are not affected by earlier failures."""

    def __init__(self) -> None:
        self.port = 0
        #: Open connections, in the order they came.
        self.connections: list[asyncio.Task[None]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._frozen: set[asyncio.Task[None]] = set()
        #: When these bytes pass towards the server they are delivered, and the connection is cut before the answer.
        self.cut_after: bytes | None = None
        #: Everything that passed towards the server.
        self.passed = b""

    def freeze(self) -> None:
        """No byte passes any more on the connections that exist, and nobody is told."""
        self._frozen |= set(self.connections)

    async def _serve(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self.connections.append(me)
        upstream, up = await asyncio.open_connection("127.0.0.1", target)
        self.writers += [writer, up]
        cut = False

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, forth: bool) -> None:
            nonlocal cut
            with suppress(OSError):
                while data := await source.read(65536):
                    if me in self._frozen or (cut and not forth):
                        continue
                    if forth:
                        self.passed += data
                    sink.write(data)
                    await sink.drain()
                    if forth and self.cut_after is not None and self.cut_after in data:
                        cut, self.cut_after = True, None
                        writer.close()
            sink.close()

        await asyncio.gather(pump(reader, up, forth=True), pump(upstream, writer, forth=False))
        for end in (up, writer):
            with suppress(OSError):
                await end.wait_closed()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """A relay to a port on loopback, on a port of its own."""
    made = Relay()
    server = await asyncio.start_server(lambda r, w: made._serve(target, r, w), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.close()
        await asyncio.wait_for(asyncio.gather(*made.connections), 10)
