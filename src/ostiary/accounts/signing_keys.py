"""Keys that the gateway signs its own access tokens with: ES256, in one file of mode 0600, rotated.

A key is published a day before it signs and a day after it signed last, so whoever caches the key set has it in time
and no token outlives its key. Processes that share the file find each other's rotation by the file's time.
"""

import fcntl
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

#: Seconds that a key signs, and that it is published before and after.
SIGNS: Final = 30 * 86400.0
AROUND: Final = 86400.0


class SigningKeysError(RuntimeError):
    """The keys can't be used. A sentence that holds no key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key."""

    kid: str
    created_at: float
    key: ECKey


def turned(keys: tuple[SigningKey, ...], now: float, make: Callable[[], ECKey]) -> tuple[SigningKey, ...]:
    """The keys as they should be now, oldest first: the next one is made in time, old ones are gone."""
    if not keys or now >= keys[-1].created_at + SIGNS:
        key = make()
        keys = (*keys, SigningKey(str(key.kid), now, key))
    # A key signs until the next one has been published long enough; then it stays for what it signed.
    ended = [following.created_at + 2 * AROUND for following in keys[1:]]
    return tuple(key for key, end in zip(keys, [*ended, float("inf")], strict=True) if now < end)


def signer(keys: tuple[SigningKey, ...], now: float) -> SigningKey:
    """The newest key that everybody has seen; where there is none yet, the oldest."""
    return next((key for key in reversed(keys) if now >= key.created_at + AROUND), keys[0])


class SigningKeys:
    """The file. Args: path: made when it is missing. clock: Unix seconds."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._seen = (0, 0)

    def all(self) -> tuple[SigningKey, ...]:
        """Every key that may have signed a token that is good. Raises SigningKeysError."""
        try:
            seen = self._stamp()
            if seen != self._seen or turned(self._keys, self._clock(), _no_key) != self._keys:
                self._turn()
        except _Missing:
            self._turn()
        except OSError as error:
            raise SigningKeysError(f"{self._path} can't be used: {error.strerror}") from error
        return self._keys

    def signer(self) -> SigningKey:
        """The one that signs. Raises SigningKeysError."""
        return signer(self.all(), self._clock())

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517)."""
        return {"keys": [key.key.as_dict(private=False) for key in self.all()]}

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise _Missing from None
        return status.st_mtime_ns, status.st_ino

    def _turn(self) -> None:
        """Read, rotate, write, under a lock that other processes take, too."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            there = self._read()
            keys = turned(there, self._clock(), _new_key)
            if keys != there:
                self._write(keys)
            self._keys, self._seen = keys, self._stamp()
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[SigningKey, ...]:
        if not self._path.exists():
            return ()
        if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
            raise SigningKeysError(f"{self._path} is open to other users: chmod 600 it")
        try:
            entries = json.loads(self._path.read_bytes())
            return tuple(
                SigningKey(entry["key"]["kid"], float(entry["created_at"]), ECKey.import_key(entry["key"]))
                for entry in entries
            )
        except (ValueError, TypeError, KeyError, JoseError):
            raise SigningKeysError(f"{self._path} does not hold signing keys: restore it, or take it away") from None

    def _write(self, keys: tuple[SigningKey, ...]) -> None:
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.unlink(missing_ok=True)
        entries = [{"created_at": key.created_at, "key": key.key.as_dict(private=True)} for key in keys]
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            json.dump(entries, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


class _Missing(Exception):  # noqa: N818 - reads as what it is
    """There is no file, or a new key is due."""


def _no_key() -> ECKey:
    raise _Missing


def _new_key() -> ECKey:
    return ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
