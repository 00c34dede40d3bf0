"""Sockets and certificates of listeners, of protocols and of the API alike."""

import errno
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ostiary.config import Settings
from ostiary.identity import X509Issuer
from ostiary.runtime.local_tls import server_context

#: Errors of a listener that say all by themselves; asyncio's own text repeats the address in its own way.
_USUAL = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


class Listens(Protocol):
    """What can be told to listen."""

    async def start(self, host: str, port: int) -> int:
        """Returns the port. Raises OSError."""
        ...


async def listen(listener: Listens, host: str, port: int) -> int:
    """Returns the port. Raises OSError with a sentence."""
    with told(host, port):
        return await listener.start(host, port)


@contextmanager
def told(host: str, port: int) -> Iterator[None]:
    """Raises OSError with a sentence, where what it is about can't be had."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno in _USUAL else str(error)
        raise OSError(f"{host}:{port} can't be listened on: {why}; another address goes into server.listen") from error


def protocol_tls(settings: Settings) -> ssl.SSLContext | None:
    """Of the listeners of protocols: clients may show certificates of the issuers' authorities."""
    return listener_tls(settings, "postgresql", client_roots(settings))


def client_roots(settings: Settings) -> list[Path]:
    """Files of the authorities whose certificates clients may show."""
    return [issuer.ca for issuer in settings.issuers if isinstance(issuer, X509Issuer)]


def listener_tls(settings: Settings, alpn: str, roots: Sequence[Path] = ()) -> ssl.SSLContext | None:
    """The gateway's certificate, for one protocol of the application layer; None: there is none."""
    if settings.tls is None:
        return None
    return server_context(settings.tls.cert, settings.tls.key, settings.recording_key.parent, alpn, roots)
