"""One leg of a session: a TCP connection, with or without TLS."""

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

from ostiary.runtime.tls import TlsPump
from ostiary.wire.contract import Received, Side, TlsStarted

if TYPE_CHECKING:
    from ostiary.runtime.session import SessionDriver

WRITE_BUFFER = 256 * 1024
_INPUT = bytearray(256 * 1024)
_INPUT_VIEW = memoryview(_INPUT)


class Leg(asyncio.BufferedProtocol):
    """One TCP connection of a session, with or without TLS.

    All legs of a thread read into one buffer: what came is copied out before anything else may run.
    """

    def __init__(self, driver: "SessionDriver", side: Side) -> None:
        self._driver = driver
        self._side = side
        self._transport: asyncio.Transport | None = None
        self._tls: TlsPump | None = None
        self.congested = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        # uvloop's transports have the interface, not the ancestry.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        if self._side is Side.CLIENT:
            self._driver.client_connected(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to put what arrives."""
        del sizehint
        return _INPUT

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived."""
        try:
            self._received(bytes(_INPUT_VIEW[:nbytes]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the session with a sentence
            self._driver.failed(error)

    def _received(self, data: bytes) -> None:
        if self._tls is None:
            self._driver.event(Received(self._side, data))
            return
        try:
            plain, completed = self._tls.receive(data)
            certificates = self._tls.client_certificates() if completed and self._side is Side.CLIENT else ()
        except ssl.SSLError as error:
            self._driver.broken(self._side, f"TLS failed: {error.reason or str(error) or 'closed'}")
            return
        self._push(self._tls.take())
        if completed:
            binding = self._tls.channel_binding() if self._side is Side.TARGET else None
            self._driver.event(TlsStarted(self._side, binding, certificates))
        if plain:
            self._driver.event(Received(self._side, plain))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        del exc
        self._transport = None
        self._driver.lost(self._side)

    def pause_writing(self) -> None:
        """The peer reads slower than we write: stop reading from the other one."""
        self.congested = True
        self._driver.balance()

    def resume_writing(self) -> None:
        """The peer caught up."""
        self.congested = False
        self._driver.balance()

    def start_tls(self, pump: TlsPump, early: bytes) -> None:
        """From here on everything is TLS."""
        self._tls = pump
        try:
            if self._side is Side.TARGET:
                pump.start()
                self._push(pump.take())
        except ssl.SSLError as error:
            self._driver.broken(self._side, f"TLS failed: {error.reason}")
            return
        if early:
            self._received(early)

    def write(self, data: bytes) -> None:
        """Send application bytes."""
        self._push(data if self._tls is None else self._tls.send(data))

    def read(self, wanted: bool) -> None:
        """Read on, or stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def close(self, last: bytes) -> None:
        """Send the last words and close behind them; where they can't be sent (TLS is not up), close now."""
        if self._transport is None:
            return
        try:
            if last:
                self.write(last)
            if self._tls is not None:
                self._push(self._tls.close())
        except ssl.SSLError:
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the other end."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return (str(name[0]), int(name[1])) if name else ("unknown", 0)

    def _push(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
