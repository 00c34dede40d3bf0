"""Worker processes: begun, kept, and ended by the process that has the API.

Each is told on its standard input, in one line, what it is to do; end of file there means that this process is gone.
It says on its standard output when it serves. The port is kept by sockets that are bound here and never listen, so
that nothing waits at a socket that nobody accepts from; the kernel spreads connections over those of the workers.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from ostiary.app.listening import told
from ostiary.app.part import node_of
from ostiary.app.serve import STOP_SECONDS
from ostiary.app.worker import READY, Order
from ostiary.config import Settings
from ostiary.credentials.config import checked_node
from ostiary.runtime.listener import bound

log = structlog.get_logger()

MAX_WORKERS: Final = 64
START_SECONDS: Final = 60.0
#: Seconds until one that ended is begun again: twice as many each time, unless it served for a while.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
_A_WHILE: Final = 60.0
#: Seconds beyond those that a worker has for its sessions, until it is killed.
_PATIENCE: Final = 10.0


class Workers:
    """Use `start`, then `stop`; in any case `close`."""

    def __init__(self, settings: Settings, count: int) -> None:
        """Raises ValueError when the gateway's name is too long to name workers by."""
        try:
            checked_node(node_of(settings.node, count))
        except ValueError as error:
            raise ValueError("server.node is too long for a gateway with workers: at most 60 characters") from error
        self._path = settings.path
        self._listen = settings.listen
        self._count = count
        self._directory = tempfile.TemporaryDirectory(prefix="ostiary-")
        self._sockets: list[socket.socket] = []
        self._order = b""
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._serving: set[int] = set()
        self._complete = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def shared(self) -> Path:
        """See `Part`."""
        return Path(self._directory.name)

    def complete(self) -> bool:
        """Every worker serves."""
        return len(self._serving) == self._count

    async def start(self) -> Mapping[str, int]:
        """Protocol → port, once every worker serves. Raises OSError."""
        ports, listen = {}, {}
        for protocol, (host, port) in self._listen.items():
            with told(host, port):
                # Of the same user, whoever else shares a port would share its connections: they must be alone.
                for alone in await bound(host, port, reuse_port=False):
                    alone.close()
                self._sockets += (sockets := await bound(host, port, reuse_port=True))
            ports[protocol] = int(sockets[0].getsockname()[1])
            listen[protocol] = (host, ports[protocol])
        self._order = Order(listen, self._directory.name).line()
        self._tasks = [asyncio.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        complete = asyncio.create_task(self._complete.wait())
        await asyncio.wait([complete, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if not complete.done():
            complete.cancel()
            raise OSError("a worker ended while the gateway started; what it said last stands above")
        return ports

    def reload(self) -> None:
        """Have every worker read everything again."""
        for number in self._serving:
            _send(self._running[number], signal.SIGHUP)

    async def stop(self) -> None:
        """End every worker in good order; those that take too long are killed."""
        self._stopping.set()
        for process in self._running.values():
            _send(process, signal.SIGTERM)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS + _PATIENCE)
            for number, process in self._running.items():
                log.error("worker killed: it did not stop in time", number=number)
                _send(process, signal.SIGKILL)
            await asyncio.gather(*late, return_exceptions=True)

    def close(self) -> None:
        """Whatever became of it: nothing of it is left on the system."""
        for each in self._sockets:
            each.close()
        self._directory.cleanup()

    async def _keep(self, number: int) -> None:
        """Have a worker, until all are stopped, or until one ends before all have begun."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await self._run(number)
            if self._stopping.is_set():
                return
            if not self._complete.is_set():
                log.error("worker did not start", number=number, code=code)
                return
            if time.monotonic() - began > _A_WHILE:
                pause = FIRST_PAUSE
            log.error("worker ended; it is started again", number=number, code=code, seconds=pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                    return
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self, number: int) -> int:
        """One life of a worker; its exit code."""
        # Not from the working directory, as `-m` alone would have it.
        command = [sys.executable, "-P", "-m", "ostiary", "serve", "-c", str(self._path), "--worker", str(number)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        self._running[number] = process
        try:
            if self._stopping.is_set():
                _send(process, signal.SIGTERM)
            with contextlib.suppress(OSError, TimeoutError):
                process.stdin.write(self._order)
                async with asyncio.timeout(START_SECONDS):
                    if await process.stdout.readline() == READY:
                        self._serving.add(number)
            if number not in self._serving:
                # It takes too long, or has ended.
                _send(process, signal.SIGKILL)
            elif self.complete():
                self._complete.set()
            return await process.wait()
        finally:
            self._serving.discard(number)
            del self._running[number]
            process.stdin.close()


def _send(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
