"""The way to the gateway: TLS from the first byte, verified, and PostgreSQL's login with a token."""

import asyncio
import ssl
from typing import Final

from ostiary.client.requests import trusting
from ostiary.client.settings import Address
from ostiary.core import Secret
from ostiary.protocols.postgres.framing import message

#: For the connection, TLS and the login together.
SECONDS: Final = 30.0
_MAX_LOGIN_MESSAGE: Final = 64 * 1024
_AUTHENTICATION: Final = ord("R")
_OK: Final = b"\0\0\0\0"
_CLEARTEXT: Final = b"\0\0\0\3"
#: The gateway's own words before the login is over: NoticeResponse, NegotiateProtocolVersion.
_RELAYED: Final = b"Nv"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Unreachable(Exception):  # noqa: N818 - a state
    """The gateway can't be had; the text is a sentence."""


class Turned(Exception):  # noqa: N818 - a state
    """The gateway refused the login; `said` is its ErrorResponse."""

    def __init__(self, said: bytes) -> None:
        super().__init__("the gateway refused the login")
        self.said = said


class Gateway:
    """Opens connections to one gateway.

    Raises:
        ValueError: the file of authorities can't be used; a sentence.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._tls = trusting(address.ca)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        # Direct TLS (PostgreSQL 17): nothing is said in the clear, and there is a round trip less.
        self._tls.set_alpn_protocols(["postgresql"])

    async def dial(self) -> Streams:
        """A TLS connection to the gateway that the certificate proves. Raises Unreachable."""
        shown = f"the gateway {self._address.host}:{self._address.port}"
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.open_connection(
                    self._address.host, self._address.port, ssl=self._tls, server_hostname=self._address.name
                )
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{shown} is not the one it should be: {error.verify_message}") from None
        except TimeoutError:
            raise Unreachable(f"{shown} did not answer within {SECONDS:.0f} seconds") from None
        except ssl.SSLError as error:
            raise Unreachable(f"{shown} does not speak TLS as expected: {error.reason}") from None
        except OSError as error:
            raise Unreachable(f"{shown} could not be reached: {error.strerror or type(error).__name__}") from None

    async def login(self, startup: bytes, token: Secret, client: asyncio.StreamWriter) -> Streams:
        """A connection that is logged in. What the gateway says up to and with AuthenticationOk goes to the client.

        Args:
            startup: the StartupMessage.
            token: sent once, as the password.
            client: whom the gateway's words are for.

        Raises:
            Unreachable, Turned.
        """
        reader, writer = await self.dial()
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(startup)
                asked = False
                while True:
                    kind, body = await _message(reader)
                    if kind == _AUTHENTICATION and body == _CLEARTEXT and not asked:
                        writer.write(message(b"p", token.reveal() + b"\0"))
                        asked = True
                    elif kind == _AUTHENTICATION and body == _OK and asked:
                        client.write(message(b"R", body))
                        return reader, writer
                    elif kind == ord("E"):
                        raise Turned(message(b"E", body))
                    elif kind in _RELAYED:
                        client.write(message(bytes([kind]), body))
                    else:
                        raise Unreachable("the gateway asked for something else than a token")
        except TimeoutError:
            writer.transport.abort()
            raise Unreachable(f"the gateway did not let the client in within {SECONDS:.0f} seconds") from None
        except (OSError, EOFError):
            writer.transport.abort()
            raise Unreachable("the gateway hung up during the login") from None
        except BaseException:
            writer.transport.abort()
            raise

    async def cancel(self, request: bytes) -> None:
        """Pass a CancelRequest on. Raises Unreachable."""
        reader, writer = await self.dial()
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(request)
                await writer.drain()
                # The gateway hangs up once it has taken it.
                await reader.read(1)
        except OSError:
            raise Unreachable("the gateway did not take the cancel request") from None
        finally:
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(5)
    size = int.from_bytes(head[1:], "big")
    if not 4 <= size <= _MAX_LOGIN_MESSAGE:
        raise Unreachable("the gateway does not speak PostgreSQL's protocol")
    return head[0], await reader.readexactly(size - 4)
