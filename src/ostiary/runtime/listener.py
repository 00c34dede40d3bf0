"""Listeners: accept, hand each connection to a session driver of its own, and stop in good order."""

import asyncio
import ssl
from collections.abc import Callable

from ostiary.core import Refusal
from ostiary.gate.gate import Gate
from ostiary.runtime.leg import Leg
from ostiary.runtime.session import Interrupts, SessionDriver
from ostiary.wire.contract import Engine, Side

#: Sessions of one worker; further clients are turned away.
MAX_SESSIONS = 10_000
TICK_SECONDS = 1.0


class Listener:
    """One address of one protocol.

    Args:
        make_engine: (source, loopback) → a fresh engine.
        tls: server context, or None where the listener offers no TLS.
        turn_away: what is sent, in the protocol, to a client that gets no engine.
    """

    def __init__(
        self,
        gate: Gate,
        make_engine: Callable[[str, bool], Engine],
        tls: ssl.SSLContext | None,
        turn_away: Callable[[Refusal], bytes],
    ) -> None:
        self._gate = gate
        self._make_engine = make_engine
        self._tls = tls
        self._turn_away = turn_away
        self._interrupts = Interrupts()
        self._sessions: set[SessionDriver] = set()
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, reuse_port=reuse_port, backlog=1024)
        self._ticker = loop.create_task(self._tick())
        return int(self._server.sockets[0].getsockname()[1])

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
        if self._server is not None:
            self._server.close()
        drivers = list(self._sessions)
        for driver in drivers:
            driver.shut_down()
        if drivers:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(driver.finished.wait() for driver in drivers))

    def _accept(self) -> Leg:
        driver = SessionDriver(
            self._gate, self._make_engine, self._interrupts, self._tls, self._turn_away, self._sessions.discard
        )
        if len(self._sessions) < MAX_SESSIONS:
            self._sessions.add(driver)
        else:
            driver.overloaded = True
        return Leg(driver, Side.CLIENT)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for driver in list(self._sessions):
                driver.tick()
