"""The way to a target, step by step: a name, an address, a port, TLS. Nothing is sent but what asks for TLS."""

import asyncio
import socket
import ssl

from ostiary.core import Target, TlsMode
from ostiary.runtime.dial import target_context

SECONDS = 5.0


class Unreached(Exception):  # noqa: N818 - reads as what happened
    """A step failed; the message is a sentence, fit to be shown."""


async def resolve(target: Target) -> str:
    """Its addresses, as text. Raises Unreached."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(SECONDS):
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Unreached(f"{target.host} was not resolved within {SECONDS:g} s") from None
    except OSError as error:
        raise Unreached(f"{target.host} can't be resolved: {error.strerror}") from None
    return ", ".join(dict.fromkeys(str(each[4][0]) for each in found))


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection. Raises Unreached."""
    where = f"{target.host}:{target.port}"
    try:
        async with asyncio.timeout(SECONDS):
            return await asyncio.open_connection(target.host, target.port)
    except TimeoutError:
        raise Unreached(f"{where} did not answer within {SECONDS:g} s") from None
    except OSError as error:
        raise Unreached(f"{where}: {error.strerror or type(error).__name__}") from None


async def encrypt(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, starttls: tuple[bytes, bytes]
) -> str:
    """TLS on it as for a session, and what it is then; "off" where the target's is. Raises Unreached."""
    if target.tls.mode is TlsMode.DISABLE:
        return "off"
    request, agreement = starttls
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(request)
            if await reader.readexactly(len(agreement)) != agreement:
                raise Unreached("the target does not offer TLS, and its configuration here requires it")
            await writer.start_tls(target_context(target.tls), server_hostname=target.host)
    except TimeoutError:
        raise Unreached(f"there was no TLS handshake within {SECONDS:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreached(f"its certificate is not believed: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Unreached(f"the TLS handshake failed: {error.reason or type(error).__name__}") from None
    except EOFError:
        raise Unreached("the target closed the connection when it was asked for TLS") from None
    except OSError as error:
        raise Unreached(f"the TLS handshake failed: {error.strerror or error}") from None
    encrypted = writer.get_extra_info("ssl_object")
    verified = "certificate verified" if encrypted.context.verify_mode else "certificate not verified"
    return f"{encrypted.version()}, {encrypted.cipher()[0]}, {verified} ({target.tls.mode})"
