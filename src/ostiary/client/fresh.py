"""A token that is always good for a while: found once, found again before it ends, shared by all who ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ostiary.client.sources import NoIdentity
from ostiary.client.token import Token

#: A new one is had when so much of a token's life is left, at most so many seconds.
_LAST_PART: Final = 0.5
_LAST_SECONDS: Final = 60.0


class FreshToken:
    """Hands out a token for each new connection.

    Args:
        find: has a token; raises NoIdentity.
        clock: Unix seconds.
    """

    def __init__(self, find: Callable[[], Awaitable[Token]], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: Token | None = None
        self._renew_at = 0.0

    async def get(self) -> Token:
        """A token that has not ended. Raises NoIdentity.

        One whose end can't be told is found anew each time. While no new one is to be had, the last one serves to its
        end.
        """
        async with self._lock:
            if self._kept is not None and self._clock() < self._renew_at:
                return self._kept
            try:
                found = await self._find()
            except NoIdentity:
                if self._kept is not None and self._clock() < (self._kept.expires_at or 0.0):
                    return self._kept
                raise
            self._kept = found
            now = self._clock()
            ends = found.expires_at or now
            self._renew_at = ends - min(_LAST_SECONDS, _LAST_PART * (ends - now))
            return found
