"""The API's listener: uvicorn, bounded, without signal handlers of its own."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import h11
import structlog
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from ostiary.gate.attempts import Attempts, network_of

log = structlog.get_logger()

#: Connections, those that have not begun TLS among them; one more is closed.
MAX_CONNECTIONS: Final = 256
#: Of one network.
MAX_OF_ONE: Final = 192
#: Bytes of a request's line and headers together.
MAX_HEADERS: Final = 32 * 1024
#: Seconds from a connection's or a request's first moment to its last header.
HEADER_SECONDS: Final = 10.0
#: Seconds until it is tried again when a connection could not be accepted.
ACCEPT_SECONDS: Final = 0.2
_IDLE_SECONDS: Final = 15
#: Seconds that requests have to end when the gateway stops.
_STOP_SECONDS: Final = 5


class ApiServer:
    """One address of the API."""

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None, attempts: Attempts) -> None:
        config = Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            # Who calls is who connects: no header says otherwise.
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_HEADERS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = _Server(config, tls, attempts)
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
        listening.setblocking(False)  # noqa: FBT003 - the standard library's name for it
        self._serving = asyncio.create_task(self._server.serve([listening]), name="api")
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait((self._serving, up), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._serving.done():
            self._serving.result()
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Take no more requests, let those that run end, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _Server(Server):
    """Uvicorn's, in a process that has other things to do.

    It accepts by itself: uvicorn's listener leaves a client that never begins TLS a minute, and does not count it.
    """

    def __init__(self, config: Config, tls: ssl.SSLContext | None, attempts: Attempts) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._tls = tls
        self._attempts = attempts
        self._accepting: asyncio.Task[None] | None = None
        #: Connections that are not HTTP's yet.
        self._opening: dict[asyncio.Task[None], str] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        assert sockets
        self._accepting = asyncio.create_task(self._accept(sockets[0]))
        self.servers = []
        self.started = True
        self.up.set()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError as error:
                # Out of files, or a client that was gone already.
                log.warning("api: a connection was not accepted", error=error.strerror)
                await asyncio.sleep(ACCEPT_SECONDS)
                continue
            network = network_of(f"{peer[0]}:")
            held = [*self._opening.values(), *(each.network for each in self._connections())]
            full = len(held) >= MAX_CONNECTIONS or held.count(network) >= MAX_OF_ONE
            if full or self._attempts.wait(network) > 0.0:
                connection.close()
                continue
            task = asyncio.create_task(self._open(connection, network))
            self._opening[task] = network
            task.add_done_callback(self._opening.pop)

    async def _open(self, connection: socket.socket, network: str) -> None:
        seconds = None if self._tls is None else HEADER_SECONDS
        loop = asyncio.get_running_loop()
        try:
            protocol = partial(_Protocol, self.config, self.server_state, self.lifespan.state, network=network)
            await loop.connect_accepted_socket(protocol, connection, ssl=self._tls, ssl_handshake_timeout=seconds)
        except OSError:
            # No TLS, or none in time.
            self._attempts.failed(network)
            connection.close()

    def _connections(self) -> Iterator["_Protocol"]:
        return (each for each in self.server_state.connections if isinstance(each, _Protocol))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything, in the end without waiting for clients to agree."""
        assert self._accepting is not None
        tasks = (self._accepting, *self._opening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the gateway's."""
        yield


class _Protocol(H11Protocol):
    """Closes a connection whose request does not come: uvicorn itself waits for it without end."""

    _overdue: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, network: str) -> None:
        super().__init__(*arguments)
        self.network = network

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Each request's scope gets a copy of it.
        self.app_state = {**self.app_state, "certificate": _certificate(transport.get_extra_info("ssl_object"))}
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            # TLS would wait for the client to agree.
            self.transport.abort()

    def _await_request(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._overdue is None and self.timeout_keep_alive_task is None:
            self._overdue = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


def _certificate(tls: ssl.SSLObject | None) -> bytes:
    """What the client showed, in DER. A resumed session shows none: nobody verified it now."""
    return b"" if tls is None or tls.session_reused else tls.getpeercert(binary_form=True) or b""
