"""The keys that sign recordings: one private key per gateway, and the public keys a verifier trusts."""

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

#: No PEM file of an Ed25519 key comes near it.
_MAX_PEM = 16 * 1024


class KeyProblem(Exception):  # noqa: N818 - reads as what happened
    """A key file can't be used; the message names the file, the reason and the next step."""


def fingerprint(key: Ed25519PublicKey) -> str:
    """Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo: `openssl pkey -pubin -outform DER | sha256sum`."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


class Signer:
    """The gateway's Ed25519 recording key (RFC 8032). Its private half has no way out of this object."""

    __slots__ = ("_key", "fingerprint", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.fingerprint = fingerprint(self.public)

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """The key in a PEM file (PKCS #8); made on the first start. Raises KeyProblem or OSError."""
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyProblem(
                    f"{path}: the recording key is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): "
                    f"run `chmod 600 {path}`, and replace the key if others could have read it"
                )
            if status.st_uid not in (0, os.geteuid()):
                raise KeyProblem(
                    f"{path}: the recording key belongs to user {status.st_uid}: make it the gateway's own"
                )
            pem = file.read(_MAX_PEM)
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyProblem(
                f"{path}: not an unencrypted PEM private key: restore the file, or remove it for a new key"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyProblem(f"{path}: not an Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._key.sign(message)

    def publish(self, recordings: Path) -> None:
        """Put the public key beside the recordings: `recording.pub`, and `keys/<fingerprint>.pub`, which stays."""
        pem = self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        keys = recordings / "keys"
        keys.mkdir(mode=0o755, exist_ok=True)
        for path in (keys / f"{self.fingerprint}.pub", recordings / "recording.pub"):
            if not path.exists() or path.read_bytes() != pem:
                draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
                draft.write_bytes(pem)
                draft.replace(path)

    def __repr__(self) -> str:
        return f"Signer({self.fingerprint[:16]}…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Signer is not pickled")


def _create(path: Path) -> None:
    """Write a new key so that no reader ever sees half of it, and so that of two first starts one wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
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


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys by fingerprint. Whom to trust is the verifier's choice, never the recording's."""

    by_fingerprint: Mapping[str, Ed25519PublicKey]

    @classmethod
    def of(cls, *keys: Ed25519PublicKey) -> "TrustedKeys":
        """These keys."""
        return cls(MappingProxyType({fingerprint(key): key for key in keys}))

    @classmethod
    def load(cls, *paths: Path) -> "TrustedKeys":
        """PEM public keys: files, or directories of `*.pub`. Raises KeyProblem, or OSError for a missing file."""
        files = [file for path in paths for file in (sorted(path.glob("*.pub")) if path.is_dir() else [path])]
        keys = []
        for file in files:
            with file.open("rb") as opened:
                pem = opened.read(_MAX_PEM)
            try:
                key = load_pem_public_key(pem)
            except (ValueError, UnsupportedAlgorithm):
                raise KeyProblem(f"{file}: not a PEM public key") from None
            if not isinstance(key, Ed25519PublicKey):
                raise KeyProblem(f"{file}: not an Ed25519 public key")
            keys.append(key)
        if not keys:
            raise KeyProblem(f"no public key in {', '.join(map(str, paths))}: name the gateway's recording.pub")
        return cls.of(*keys)

    def verifies(self, key: str, signature: bytes, message: bytes) -> bool:
        """Is it a signature of that trusted key over that message? An unknown key never verifies."""
        public = self.by_fingerprint.get(key)
        if public is None:
            return False
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True
