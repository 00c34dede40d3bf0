"""Recordings as they are read for long: a session that goes on, and one as it stands in its file.

What takes time asks again and again whether it still may: a token ends, a policy changes, an account is disabled.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from ostiary.control.access import Access, Caller, Denied
from ostiary.control.paging import Reader
from ostiary.control.sessions import recording_of
from ostiary.gate.ports import Refused
from ostiary.policy import ControlAction
from ostiary.recording import Following, Moment, summarize

#: Seconds between two looks at a recording.
POLL_SECONDS: Final = 0.5
#: Seconds after which a caller is identified anew.
AGAIN_SECONDS: Final = 5.0
#: Seconds of silence after which a sign of life is given.
ALIVE_SECONDS: Final = 10.0
_CHUNK: Final = 256 * 1024
#: Moments before now that a tail begins with, at most.
MAX_LAST: Final = 1000

Line = tuple[int, Moment]


class SessionStreams:
    """The use-cases.

    Args:
        access: who may.
        directory: of recordings.
        reader: reads them.
        clock: seconds, monotonic.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        access: Access,
        directory: Path,
        reader: Reader,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._access = access
        self._directory = directory
        self._reader = reader
        self._clock = clock
        self._pause = pause

    async def tail(
        self, caller: Caller, session_id: str, last: int, after: int | None, again: Callable[[], Awaitable[Caller]]
    ) -> AsyncIterator[Line | str | None]:
        """What happens in a session, until it ends. Raises NoSuchSession, Denied, OSError before there is anything.

        Each moment comes with the number of its line; None is a sign of life. A text is the last thing that a caller
        gets who may not go on: why.

        Args:
            caller: who may `audit` on its target.
            session_id: whole.
            last: so many moments of before.
            after: or all after this line.
            again: identifies the caller anew; raises Refused.
        """
        path, target = await self._reader.read(lambda: self._found(caller, session_id))
        if after is None:
            after = await self._before(path, last)
        return self._following(path, after, target, again)

    async def export(self, caller: Caller, session_id: str) -> tuple[str, AsyncIterator[bytes]]:
        """The name of a recording's file, and its bytes up to its last whole line. Raises NoSuchSession, Denied."""
        path, _ = await self._reader.read(lambda: self._found(caller, session_id))
        return path.name, self._bytes(path)

    async def _before(self, path: Path, last: int) -> int:
        """The line after which there are so many moments, as things stand."""
        following = Following(path)
        numbers: deque[int] = deque(maxlen=last + 1)
        while not following.caught_up:
            numbers.extend(number for number, _ in await self._reader.read(following.more))
        return numbers[0] if len(numbers) > last else -1

    async def _following(
        self, path: Path, after: int, target: str, again: Callable[[], Awaitable[Caller]]
    ) -> AsyncIterator[Line | str | None]:
        following = Following(path)
        told = asked = self._clock()
        while not following.ended:
            now = self._clock()
            if now - asked >= AGAIN_SECONDS:
                asked = now
                why = await self._stopped(target, again)
                if why:
                    yield why
                    return
            for line in await self._reader.read(following.more):
                if line[0] > after:
                    told = now
                    yield line
            if now - told >= ALIVE_SECONDS:
                told = now
                yield None
            if following.caught_up and not following.ended:
                await self._pause(POLL_SECONDS)

    async def _stopped(self, target: str, again: Callable[[], Awaitable[Caller]]) -> str:
        """Why the caller may not go on; "" where that is not so."""
        try:
            self._access.require(await again(), ControlAction.AUDIT, target)
        except (Refused, Denied) as error:
            return error.refusal.message
        except TimeoutError:
            return "your token could not be verified in time"
        return ""

    async def _bytes(self, path: Path) -> AsyncIterator[bytes]:
        position = 0
        while chunk := await self._reader.read(partial(_whole_lines, path, position)):
            position += len(chunk)
            yield chunk

    def _found(self, caller: Caller, session_id: str) -> tuple[Path, str]:
        path = recording_of(self._directory, session_id)
        target = summarize(path).target
        self._access.require(caller, ControlAction.AUDIT, target)
        return path, target


def _whole_lines(path: Path, position: int) -> bytes:
    """Some 256 KiB of whole lines from there on; none at the end."""
    with path.open("rb") as file:
        file.seek(position)
        chunk = file.read(_CHUNK)
        if not chunk.endswith(b"\n"):
            chunk += file.readline()
        return chunk[: chunk.rfind(b"\n") + 1]
