"""Connections to targets."""

import asyncio
import ssl

import structlog

from ostiary.core import Target, TlsMode, TlsSettings

log = structlog.get_logger()

ASIDE_SECONDS = 5.0


def target_context(settings: TlsSettings) -> ssl.SSLContext:
    """A client context with the meaning libpq gives to `sslmode`. Raises OSError or ssl.SSLError for bad files."""
    text = settings.ca if settings.ca is not None and settings.ca.startswith("-----BEGIN") else None
    context = ssl.create_default_context(cafile=None if text else settings.ca, cadata=text)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.mode is TlsMode.VERIFY_FULL
    if settings.mode is TlsMode.REQUIRE and settings.ca is None:
        context.verify_mode = ssl.CERT_NONE
    if settings.cert is not None:
        context.load_cert_chain(settings.cert, settings.key)
    return context


async def dial(target: Target, protocol: asyncio.BaseProtocol) -> None:
    """Open the transport to a target. Raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: protocol, target.host, target.port)


async def dial_aside(target: Target, data: bytes, starttls: tuple[bytes, bytes]) -> None:
    """Deliver a few bytes on a connection of their own (a CancelRequest); failing to is logged, not an error.

    TLS as on the session's own leg. `starttls`: what asks for TLS in the target's protocol, and what agrees to it.
    """
    try:
        async with asyncio.timeout(ASIDE_SECONDS):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            try:
                if target.tls.mode is not TlsMode.DISABLE:
                    request, agreement = starttls
                    writer.write(request)
                    if await reader.readexactly(len(agreement)) != agreement:
                        raise ConnectionError("the target does not offer TLS, and its configuration here requires it")
                    await writer.start_tls(target_context(target.tls), server_hostname=target.host)
                writer.write(data)
                await writer.drain()
                await reader.read(1)
            finally:
                writer.transport.abort()
    except (OSError, EOFError) as error:
        log.warning("could not reach the target aside", target=target.name, why=f"{type(error).__name__}: {error}")
