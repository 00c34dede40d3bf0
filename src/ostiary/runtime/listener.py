"""Listeners: accept, hand each connection to a session driver of its own, and stop in good order."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import structlog

from ostiary.core import Refusal
from ostiary.gate.attempts import Attempts, network_of, refusal
from ostiary.gate.gate import Gate
from ostiary.runtime.interrupts import Interrupts
from ostiary.runtime.leg import Leg
from ostiary.runtime.session import SessionDriver
from ostiary.wire.contract import Engine, Side

log = structlog.get_logger()

#: Sessions of one worker; further clients are turned away.
MAX_SESSIONS = 10_000
TICK_SECONDS = 1.0
#: Connections taken before what is open has its turn again.
MOST_AT_ONCE: Final = 32
#: Seconds until it is tried again when a connection could not be accepted.
ACCEPT_SECONDS: Final = 0.2
#: Ticks from one line about clients that were turned away to the next.
_TOLD_TICKS: Final = 60


class Listener:
    """One address of one protocol.

    Args:
        make_engine: (source, loopback) → a fresh engine.
        tls: server context, or None where the listener offers no TLS.
        turn_away: what is sent, in the protocol, to a client that gets no engine.
        attempts: who may try.
        interrupts: of the process.
        reuse_port: other processes listen on its address too.
    """

    def __init__(
        self,
        gate: Gate,
        make_engine: Callable[[str, bool], Engine],
        tls: ssl.SSLContext | None,
        turn_away: Callable[[Refusal], bytes],
        attempts: Attempts,
        interrupts: Interrupts | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        self._attempts = attempts
        self._gate = gate
        self._make_engine = make_engine
        self._tls = tls
        self._turn_away = turn_away
        # In a flood the same is said thousands of times a second.
        self._told = lru_cache(64)(lambda seconds: turn_away(refusal(seconds)))
        self._interrupts = interrupts or Interrupts()
        self._reuse_port = reuse_port
        self._sessions: set[SessionDriver] = set()
        self._sockets: list[socket.socket] = []
        self._ticker: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._sockets = await bound(host, port, reuse_port=self._reuse_port)
        try:
            for listening in self._sockets:
                listening.listen(1024)
                listening.setblocking(False)  # noqa: FBT003 - the standard library's name for it
        except OSError:
            self._close()
            raise
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)
        self._ticker = loop.create_task(self._tick())
        return int(self._sockets[0].getsockname()[1])

    def renew(self, tls: ssl.SSLContext | None) -> None:
        """The server context of connections that come from now on. A listener has TLS or not for as long as it is."""
        if (tls is None) is (self._tls is None):
            self._tls = tls

    @property
    def sessions(self) -> frozenset[SessionDriver]:
        """Sessions that live now."""
        return frozenset(self._sessions)

    async def stop(self, seconds: float = 30.0) -> None:
        """Stop accepting, end every session, wait for their records and credentials."""
        if self._ticker is not None:
            self._ticker.cancel()
        self._close()
        await asyncio.gather(*self._opening, return_exceptions=True)
        drivers = list(self._sessions)
        for driver in drivers:
            driver.shut_down()
        if drivers:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(driver.finished.wait() for driver in drivers))

    def _close(self) -> None:
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        """Take who waits. Whoever must not try is told so and closed, and costs no more than that."""
        for _ in range(MOST_AT_ONCE):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of files, as a rule: the connection stays in the backlog, and would wake the loop at once.
                log.warning("a connection was not accepted", error=error.strerror)
                self._pause(listening)
                return
            network = network_of(f"{peer[0]}:")
            wait = self._attempts.wait(network)
            if wait > 0.0:
                with connection, contextlib.suppress(OSError):
                    connection.setblocking(False)  # noqa: FBT003 - as above
                    connection.send(self._told(max(1, round(wait))))
                continue
            self._open(connection, network)

    def _pause(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def again() -> None:
            if listening in self._sockets:
                loop.add_reader(listening, self._accept, listening)

        loop.call_later(ACCEPT_SECONDS, again)

    def _open(self, connection: socket.socket, network: str) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._connect(self._leg(network), connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    @staticmethod
    async def _connect(leg: Leg, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: leg, connection)
        except OSError as error:
            # The client is gone.
            connection.close()
            leg.connection_lost(error)

    def _leg(self, network: str) -> Leg:
        """Of a client that was let in."""
        driver = SessionDriver(
            self._gate,
            self._make_engine,
            self._interrupts,
            self._tls,
            self._turn_away,
            self._sessions.discard,
            self._attempts.begin(network),
        )
        if len(self._sessions) < MAX_SESSIONS:
            self._sessions.add(driver)
        else:
            driver.overloaded = True
        return Leg(driver, Side.CLIENT)

    async def _tick(self) -> None:
        told = 0
        while True:
            for _ in range(_TOLD_TICKS):
                await asyncio.sleep(TICK_SECONDS)
                for driver in list(self._sessions):
                    driver.tick()
            if self._attempts.turned_away > told:
                log.warning("clients turned away: too many failed logins", times=self._attempts.turned_away - told)
                told = self._attempts.turned_away


async def bound(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Sockets on each address of the host, on one port, that do not listen yet. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            port = sockets[0].getsockname()[1] if sockets else port
            made = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((address[0], port, *address[2:]))
            sockets.append(made)
        stack.pop_all()
    return sockets
