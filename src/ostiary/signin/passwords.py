"""Passwords: argon2id (RFC 9106), away from the event loop, a few at a time.

Whoever is nobody costs as much as whoever is somebody: without a stored hash a decoy's is verified.
"""

import asyncio
import functools
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ostiary.core import Refusal, RefusalKind, Secret
from ostiary.gate.ports import Refused

T = TypeVar("T")
SHORTEST: Final = 12
#: Characters. Nothing longer is hashed, or even normalised.
LONGEST: Final = 256
#: Those that wait for a thread; one more is turned away.
MAX_WAITING: Final = 8


class Passwords:
    """Args: hasher: RFC 9106's second recommended option, 64 MiB."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)
        self._threads = ThreadPoolExecutor(1, "argon2")
        self._waiting = 0

    def close(self) -> None:
        """Take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: Secret) -> str:
        """What is stored. Raises ValueError with a sentence, Refused when too many wait."""
        text = _normal(password)
        if text is None or len(text) < SHORTEST:
            raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
        return await self._work(lambda: self._hasher.hash(text))

    async def verify(self, stored: str, password: Secret) -> bool:
        """Is it the one? `stored` empty: no, after the same work. Raises Refused when too many wait."""
        text = _normal(password)
        return await self._work(lambda: self._verified(stored or self._decoy, text or "")) and bool(stored and text)

    def _verified(self, stored: str, text: str) -> bool:
        try:
            return self._hasher.verify(stored, text)
        except (VerificationError, InvalidHashError):
            return False

    @functools.cached_property
    def _decoy(self) -> str:
        return self._hasher.hash(secrets.token_hex(32))

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Refused(
                Refusal(RefusalKind.CAPACITY, "too many people sign in at this moment", "try again in a minute")
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _normal(password: Secret) -> str | None:
    """One spelling of what looks the same (RFC 8265 §4.2); None when it can't be a password."""
    if len(password) > 4 * LONGEST:
        return None
    try:
        text = unicodedata.normalize("NFC", password.reveal_text())
    except ValueError:
        return None
    return text if len(text) <= LONGEST else None
