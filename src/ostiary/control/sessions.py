"""Sessions, recorded and live: who may see that they are there, read them, end them.

A session may live in any process on the same state store. One of this process is ended in place; another's is asked for
through the store, and its process ends it within about a second.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.control.access import Access, Caller
from ostiary.control.changes import Changes
from ostiary.control.paging import Page, Reader
from ostiary.policy import ControlAction
from ostiary.recording import (
    ActionDetail,
    Moment,
    NoSuchSession,
    SessionDetail,
    SessionFilter,
    SessionState,
    SessionSummary,
    find,
    recordings,
    replay,
    safe,
    show,
    summarize,
)
from ostiary.runtime.live import END_SECONDS, LiveSessions
from ostiary.runtime.presence import STALE_SECONDS, EndRequest, PresenceRepository

#: Recordings that are opened for one page.
MAX_OPENED: Final = 1000
#: Characters of moments that a page takes; the last one may go over.
PAGE_CHARACTERS: Final = 1 << 20
#: Seconds between two looks whether another process has ended a session.
_ASK_AGAIN: Final = 0.2


class NotLive(Exception):  # noqa: N818 - reads as what happened
    """The session lives in no process. The message says so."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session in a list."""

    summary: SessionSummary
    #: It lives in some process and can be ended.
    live: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that was ended."""

    session_id: str
    by: str
    reason: str
    #: Its record is closed and its credential was asked back; False: that goes on.
    closed: bool


class SessionControl:
    """The use-cases."""

    def __init__(
        self,
        access: Access,
        changes: Changes,
        directory: Path,
        live: LiveSessions,
        reader: Reader,
        elsewhere: PresenceRepository,
        clock: Callable[[], float],
    ) -> None:
        """`directory`: of recordings. `live`: of this process, `elsewhere`: of all. `clock`: unix seconds."""
        self._access = access
        self._changes = changes
        self._directory = directory
        self._live = live
        self._reader = reader
        self._elsewhere = elsewhere
        self._clock = clock

    async def list(
        self, caller: Caller, wanted: SessionFilter, live_only: bool, after: str, limit: int
    ) -> Page[SessionView]:
        """Sessions whose target the caller may view, newest first."""
        here = {each.session_id for each in self._live}
        live = here | await self._elsewhere.ids(self._alive_since())
        return await self._reader.read(lambda: self._listed(caller, wanted, here, live, live_only, after, limit))

    async def show(self, caller: Caller, session_id: str) -> tuple[SessionDetail, bool]:
        """One session without its commands, and whether it lives. Raises NoSuchSession, Denied."""
        here = self._live.get(session_id) is not None
        live = here or await self._elsewhere.found(session_id, self._alive_since()) is not None
        shown = await self._reader.read(lambda: self._shown(caller, session_id))
        return shown, here or (live and shown.summary.state is not SessionState.SEALED)

    async def commands(self, caller: Caller, session_id: str, after: str, limit: int) -> tuple[Page[ActionDetail], int]:
        """Its first 1,000 commands, and how many there are beyond those. Raises NoSuchSession, Denied."""
        return await self._reader.read(lambda: self._commands(caller, session_id, after, limit))

    async def replay(self, caller: Caller, session_id: str, after: str, limit: int) -> Page[Moment]:
        """What happened, in order. Raises NoSuchSession, Denied."""
        return await self._reader.read(lambda: self._moments(caller, session_id, after, limit))

    async def end(self, caller: Caller, session_id: str, reason: str) -> Ended:
        """End a live session at once. `reason` is for its client, and for the record.

        Raises NoSuchSession, Denied, NotLive, ValueError for an unfit reason, OSError when it can't be written down,
        and what the store raises when another process can't be asked.
        """
        if not reason.strip() or len(reason) > 500 or not reason.isprintable():
            raise ValueError("the reason must be one line of 1 to 500 printable characters")
        live = self._live.get(session_id)
        if live is None:
            return await self._end_elsewhere(caller, session_id, reason)
        permission = self._access.require(caller, ControlAction.ADMINISTER, live.target.name)
        by = caller.principal.id
        before = {"state": "live", "principal": live.principal.id, "target": live.target.name, "source": live.source}
        async with self._changes.making(
            permission, f"sessions/{session_id}", before, before | {"state": "ended"}, reason
        ) as making:
            closed = await self._live.end(session_id, by, reason)
            if closed is None:
                raise NotLive(f"session {session_id} has just ended by itself")
            making.after = before | {"state": "ended" if closed else "ending"}
        return Ended(session_id, by, reason, closed)

    async def _end_elsewhere(self, caller: Caller, session_id: str, reason: str) -> Ended:
        found = await self._elsewhere.found(session_id, self._alive_since())
        try:
            summary = await self._reader.read(lambda: summarize(recording_of(self._directory, session_id)))
        except NoSuchSession:
            # Another node's, which keeps its recordings elsewhere.
            if found is None:
                raise
        else:
            if found is None or summary.state is SessionState.SEALED:
                self._access.require(caller, ControlAction.ADMINISTER, summary.target)
                raise NotLive(f"session {session_id} lives in no process of this gateway: it has ended, or just begun")
        permission = self._access.require(caller, ControlAction.ADMINISTER, found.target)
        by = caller.principal.id
        before = {"state": "live", "principal": found.principal, "target": found.target, "source": found.source}
        async with self._changes.making(
            permission, f"sessions/{session_id}", before, before | {"state": "ended"}, reason
        ) as making:
            await self._elsewhere.ask_end(EndRequest(session_id, by, reason, self._clock()))
            closed = await self._gone(session_id)
            making.after = before | {"state": "ended" if closed else "ending"}
        return Ended(session_id, by, reason, closed)

    async def _gone(self, session_id: str) -> bool:
        """Wait, for as long as somebody may, until its process says that it is over."""
        try:
            async with asyncio.timeout(END_SECONDS):
                while await self._elsewhere.found(session_id, self._alive_since()) is not None:  # noqa: ASYNC110 - it ends in another process
                    await asyncio.sleep(_ASK_AGAIN)
        except TimeoutError:
            return False
        return True

    def _alive_since(self) -> float:
        return self._clock() - STALE_SECONDS

    # ------------------------------------------------------------ in the reader's threads

    def _listed(
        self,
        caller: Caller,
        wanted: SessionFilter,
        here: set[str],
        live: set[str],
        live_only: bool,
        after: str,
        limit: int,
    ) -> Page[SessionView]:
        found: list[SessionView] = []
        viewed: dict[str, bool] = {}
        opened, last = 0, ""
        for path in recordings(self._directory):
            position = path.relative_to(self._directory).as_posix()
            session_id = path.stem.partition("-")[2]
            if (after and position >= after) or (live_only and session_id not in live):
                continue
            if len(found) == limit or opened == MAX_OPENED:
                return Page(tuple(found), last)
            opened += 1
            last = position
            summary = summarize(path)
            if summary.target not in viewed:
                viewed[summary.target] = self._access.permits(caller, ControlAction.VIEW, summary.target)
            # Those of other processes are known a moment longer than they live: a seal is the last word.
            lives = session_id in here or (session_id in live and summary.state is not SessionState.SEALED)
            if viewed[summary.target] and wanted.admits(summary) and (lives or not live_only):
                found.append(SessionView(safe(summary), lives))
        return Page(tuple(found), None)

    def _shown(self, caller: Caller, session_id: str) -> SessionDetail:
        path = recording_of(self._directory, session_id)
        self._access.require(caller, ControlAction.AUDIT, summarize(path).target)
        return safe(show(self._directory, session_id, 0))

    def _commands(self, caller: Caller, session_id: str, after: str, limit: int) -> tuple[Page[ActionDetail], int]:
        path = recording_of(self._directory, session_id)
        self._access.require(caller, ControlAction.AUDIT, summarize(path).target)
        begin = int(after or 0)
        detail = show(self._directory, session_id)
        end = begin + limit
        following = str(end) if end < len(detail.actions) else None
        return Page(safe(detail.actions[begin:end]), following), detail.more

    def _moments(self, caller: Caller, session_id: str, after: str, limit: int) -> Page[Moment]:
        path = recording_of(self._directory, session_id)
        self._access.require(caller, ControlAction.AUDIT, summarize(path).target)
        begin = int(after or 0)
        found: list[Moment] = []
        characters = 0
        for number, moment in enumerate(replay(self._directory, session_id)):
            if number < begin:
                continue
            if len(found) == limit or characters > PAGE_CHARACTERS:
                return Page(tuple(found), str(number))
            found.append(moment)
            characters += _length(moment)
        return Page(tuple(found), None)


def recording_of(directory: Path, session_id: str) -> Path:
    """The recording with this whole id. Raises NoSuchSession."""
    path = find(directory, session_id)
    if path.stem.partition("-")[2] != session_id:
        raise NoSuchSession(f"no recording of a session {session_id}")
    return path


def _length(moment: Moment) -> int:
    cells = sum(len(cell) for row in moment.rows for cell in row if cell is not None)
    return len(moment.text) + sum(map(len, moment.notes)) + sum(map(len, moment.columns)) + cells


__all__ = ["Ended", "NotLive", "SessionControl", "SessionFilter", "SessionState", "SessionView"]
