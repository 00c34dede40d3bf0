"""The key that AuthnRequests are signed with, and its certificate: one PEM file of mode 0600, made on first use.

RSA, because not every identity provider verifies anything else. The certificate is self-signed and only carries the
key: providers pin it from this gateway's metadata.
"""

import os
import secrets
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

#: XML Signature's name of what `SamlKey.sign` does (RFC 9231 §2.3.2).
ALGORITHM: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_BITS: Final = 3072
_SMALLEST: Final = 2048
_YEARS: Final = 10
_MAX_PEM: Final = 64 * 1024


class SamlKey:
    """The key has no way out of this object.

    Args:
        path: made when it is missing.

    Raises:
        OSError: The file can't be read or made.
        ValueError: It is open to others, or is not a key and its certificate.
    """

    __slots__ = ("_key", "certificate")

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"{path} is open to other users: chmod 600 it, and replace it if others read it")
            pem = file.read(_MAX_PEM)
        try:
            key = load_pem_private_key(pem, password=None)
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, TypeError):
            raise ValueError(f"{path} does not hold a private key and its certificate: restore it") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _SMALLEST:
            raise ValueError(f"{path} does not hold an RSA key of at least {_SMALLEST} bits")
        if certificate.public_key() != key.public_key():
            raise ValueError(f"{path} holds the certificate of another key")
        self._key = key
        #: DER.
        self.certificate = certificate.public_bytes(Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        """By `ALGORITHM`."""
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def __repr__(self) -> str:
        return "SamlKey(***)"


def _create(path: Path) -> None:
    """So that no reader ever sees half of it, and so that of two first starts one wins."""
    key = rsa.generate_private_key(65537, _BITS)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ostiary")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    certificate = builder.not_valid_after(now + timedelta(days=365 * _YEARS)).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
