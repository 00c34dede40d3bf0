"""A local way to one target: each client that comes is logged in at the gateway with a token it never sees.

The local leg has no TLS and, on a Unix socket, no password: the directory's mode says who may come. From
AuthenticationOk on bytes are passed in both directions and not looked at.
"""

import asyncio
import contextlib
import hmac
from typing import Final

from ostiary.client.fresh import FreshToken
from ostiary.client.gateway import Gateway, Streams, Turned, Unreachable
from ostiary.client.sources import NoIdentity
from ostiary.client.startup import CANCEL_REQUEST, ENCRYPTION, MAX_STARTUP, Startup
from ostiary.core import Refusal, RefusalKind, Secret
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import message

#: For a local client up to its password.
SECONDS: Final = 30.0
#: Clients at a time.
MAX_CLIENTS: Final = 500
_CHUNK: Final = 64 * 1024
_CLEARTEXT: Final = message(b"R", b"\0\0\0\3")
_MAX_PASSWORD: Final = 1024


class _Refused(Exception):  # noqa: N818 - a state
    """What the local client is told."""

    def __init__(self, kind: RefusalKind, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.refusal = Refusal(kind, text, hint)


class LocalTarget:
    """Serves local clients of one target.

    Args:
        gateway: where they go.
        token: with what they are let in.
        target: what they get, perhaps with a database: "orders", "orders/archive".
        password: that local clients must give; None asks for none.
    """

    def __init__(self, gateway: Gateway, token: FreshToken, target: str, password: Secret | None = None) -> None:
        self._gateway = gateway
        self._token = token
        self._target = target
        self._password = password
        self._serving: set[asyncio.Task[None]] = set()
        self._closed = False

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client that has just come: what asyncio's servers call."""
        if self._closed:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """Hang up on everybody, and on whoever comes from now on."""
        self._closed = True
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                upstream = await self._let_in(reader, writer)
            except _Refused as no:
                writer.write(refuse.fatal(no.refusal))
            except Turned as no:
                writer.write(no.said)
            except NoIdentity as no:
                writer.write(refuse.fatal(Refusal(RefusalKind.IDENTITY, str(no), no.hint)))
            except Unreachable as no:
                writer.write(refuse.fatal(Refusal(RefusalKind.TARGET, str(no))))
            else:
                if upstream is not None:
                    await _relay((reader, writer), upstream)
            await _leave(reader, writer)
        except (OSError, EOFError):
            # The client is gone: there is nobody to tell.
            return
        finally:
            writer.transport.abort()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
        """The client's connection to the gateway; None for a CancelRequest, which was passed on."""
        if len(self._serving) > MAX_CLIENTS:
            raise _Refused(RefusalKind.CAPACITY, f"more than {MAX_CLIENTS} clients at a time", "close some")
        try:
            async with asyncio.timeout(SECONDS):
                code, body = await _first_packet(reader, writer)
                if code != CANCEL_REQUEST:
                    startup = Startup.read(code, body)
                    await self._ask(reader, writer)
        except TimeoutError:
            raise _Refused(RefusalKind.PROTOCOL, f"the login took longer than {SECONDS:.0f} seconds") from None
        except ValueError as error:
            raise _Refused(RefusalKind.PROTOCOL, str(error)) from None
        if code == CANCEL_REQUEST:
            await self._gateway.cancel(message(b"", code.to_bytes(4, "big") + body))
            return None
        token = await self._token.get()
        return await self._gateway.login(startup.for_gateway(self._target), token.secret, writer)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Have the local password, where there is one. Raises ValueError, _Refused."""
        if self._password is None:
            return
        writer.write(_CLEARTEXT)
        head = await reader.readexactly(5)
        size = int.from_bytes(head[1:], "big")
        if head[:1] != b"p" or not 4 < size <= _MAX_PASSWORD:
            raise ValueError("expected the password message")
        given = await reader.readexactly(size - 4)
        if not hmac.compare_digest(given.removesuffix(b"\0"), self._password.reveal()):
            raise _Refused(
                RefusalKind.IDENTITY,
                "this port serves the program that `ostiary exec` runs, and nobody else",
                "connect as DATABASE_URL says, or run `ostiary connect` for yourself",
            )


async def _first_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes]:
    """Code and body of the first packet that is no request for encryption. Raises ValueError."""
    for _ in range(len(ENCRYPTION) + 1):
        head = await reader.readexactly(8)
        size, code = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if not 8 <= size <= MAX_STARTUP:
            raise ValueError("this is not PostgreSQL's protocol without TLS, which is all that is spoken here")
        if code not in ENCRYPTION:
            return code, await reader.readexactly(size - 8)
        writer.write(b"N")
    raise ValueError("encryption was asked for too often")


async def _relay(client: Streams, upstream: Streams) -> None:
    """Pass bytes until one side has ended; what it sent last is delivered to the other."""
    forth = asyncio.create_task(_pass(client[0], upstream[1]))
    back = asyncio.create_task(_pass(upstream[0], client[1]))
    try:
        await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
        if forth.done() and not forth.result():
            # The gateway takes nothing any more: its last words are still to be read.
            await back
        forth.cancel()
        back.cancel()
        await asyncio.gather(forth, back, return_exceptions=True)
        await _flush(upstream[1])
    finally:
        forth.cancel()
        back.cancel()
        upstream[1].transport.abort()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> bool:
    """True when the source ended, False when the sink takes no more."""
    while True:
        try:
            data = await source.read(_CHUNK)
        except OSError:
            return True
        if not data:
            return True
        try:
            sink.write(data)
            await sink.drain()
        except OSError:
            return False


async def _leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that this is the end and wait, for a while, until the client has taken it.

    Hanging up with something of the client's unread would reset the connection, and the reset could overtake the last
    words.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            writer.write_eof()
            while await reader.read(_CHUNK):
                pass


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Hang up once what was written is delivered, for a while; whoever calls this aborts afterwards."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            writer.close()
            await writer.wait_closed()
