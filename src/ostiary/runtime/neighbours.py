"""The workers of a gateway as they reach each other: a request to interrupt a session lands on any of them.

Each listens on a socket in a directory that only the gateway's user can enter. Whoever has a key that it did not give
out itself asks the one that did: the key, then end of file; the answer is one byte. What was asked goes no further.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from ostiary.runtime.interrupts import Interrupts

#: Seconds that asking takes at most, and being asked.
SECONDS: Final = 2.0
#: Bytes of a key.
_LONGEST: Final = 260
_KNOWN: Final = b"1"


class Neighbours:
    """For one worker. Use between `start` and `close`.

    Args:
        directory: of the sockets, one a worker, named by its number.
        worker: its own number.
    """

    def __init__(self, directory: Path, worker: int, interrupts: Interrupts) -> None:
        self._directory = directory
        self._worker = worker
        self._interrupts = interrupts
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, and ask. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._asked, self._directory / str(self._worker))
        self._interrupts.elsewhere = self.ask

    async def close(self) -> None:
        """Neither any more."""
        self._interrupts.elsewhere = None
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def ask(self, worker: int, key: bytes) -> bool:
        """Whether that worker had a session of this key, which it has interrupted. Never raises."""
        path = self._directory / str(worker)
        if worker == self._worker or not path.exists():
            return False
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                with contextlib.closing(writer):
                    writer.write(key)
                    writer.write_eof()
                    return await reader.read(1) == _KNOWN
        return False

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                key = await reader.read(_LONGEST + 1)
                while more := await reader.read(_LONGEST + 1 - len(key)):
                    key += more
                if self._interrupts.interrupt(key):
                    writer.write(_KNOWN)
                    await writer.drain()
