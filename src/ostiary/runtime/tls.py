"""TLS over any byte pipe, synchronously: bytes in, bytes out (ssl.MemoryBIO).

An own pump instead of the event loop's `start_tls`, for two reasons: bytes that were read before TLS was known to
start (direct TLS) can be handed in, and nothing awaits.
"""

import contextlib
import ssl
import sys
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

_READ = 64 * 1024
#: OpenSSL's name for the encoding.
_DER = 2


class TlsPump:
    """One leg's TLS. `receive` takes what the socket gave; `take` gives what the socket must send.

    Args:
        context: a server or client context.
        server_hostname: name to verify and to send as SNI; None on the server side.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.established = False

    def start(self) -> None:
        """First flight of a client. Raises ssl.SSLError."""
        self._handshake()

    def receive(self, data: bytes) -> tuple[bytes, bool]:
        """Decrypted bytes, and whether the handshake was completed by this call. Raises ssl.SSLError."""
        self._incoming.write(data)
        completed = False
        if not self.established:
            self._handshake()
            completed = self.established
            if not self.established:
                return b"", False
        pieces = []
        while True:
            try:
                piece = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces), completed

    def send(self, data: bytes) -> bytes:
        """Encrypt; returns what the socket must send."""
        self._tls.write(data)
        return self.take()

    def take(self) -> bytes:
        """What the socket must send now."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """The close_notify alert (RFC 8446 section 6.1): without it a careful peer takes the end for an attack."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return self.take()

    def channel_binding(self) -> bytes | None:
        """`tls-server-end-point` of the peer's certificate (RFC 5929 section 4.1); None without one."""
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            return None
        algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
        if algorithm is None:
            return None
        if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
            algorithm = hashes.SHA256()
        digest = hashes.Hash(algorithm)
        digest.update(der)
        return digest.finalize()

    def client_certificates(self) -> tuple[bytes, ...]:
        """The chain that was verified, in DER, leaf first; empty without a certificate. Raises ssl.SSLError.

        A resumed session (RFC 8446 section 2.2) proves a certificate that nobody verified now: it ends here.
        """
        if self._tls.getpeercert(binary_form=True) is None:
            return ()
        if self._tls.session_reused:
            raise ssl.SSLError("a session with a client certificate can't be resumed")
        if sys.version_info >= (3, 13):
            return tuple(self._tls.get_verified_chain())
        # Public from Python 3.13 on; before, the same function of the object beneath.
        chain: Sequence[Any] = self._tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
        return tuple(each.public_bytes(_DER) for each in chain)

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True
