"""What was changed through a running gateway, as its audit logs tell it. Nothing here verifies them."""

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.control.access import Access, Caller
from ostiary.control.paging import Page, Reader
from ostiary.policy import ControlAction
from ostiary.recording import Change, DamagedRecording, Entry, audit_logs, read, safe

_POSITION: Final = re.compile(r"([\w.-]{1,200}):(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Changed:
    """A line of an audit log, harmless to a terminal."""

    #: Unix seconds.
    time: float
    change: Change


class ChangeHistory:
    """The use-case."""

    def __init__(self, access: Access, directory: Path, reader: Reader) -> None:
        """`directory`: of recordings."""
        self._access = access
        self._directory = directory
        self._reader = reader

    async def list(self, caller: Caller, after: str, limit: int) -> Page[Changed]:
        """Changes, newest first. Raises Denied, ValueError for a position that is none, OSError."""
        self._access.require(caller, ControlAction.AUDIT)
        return await self._reader.read(lambda: self._listed(after, limit))

    def _listed(self, after: str, limit: int) -> Page[Changed]:
        match = _POSITION.fullmatch(after) if after else None
        if after and match is None:
            raise ValueError("no position in the audit logs")
        found: list[Changed] = []
        last = ""
        for path in reversed(audit_logs(self._directory)):
            if match is not None and path.stem > match[1]:
                continue
            below = int(match[2]) if match is not None and path.stem == match[1] else None
            for entry in reversed(_newest(path, below, limit + 1 - len(found))):
                if len(found) == limit:
                    return Page(tuple(found), last)
                assert isinstance(entry.body, Change)
                found.append(Changed(entry.time, safe(entry.body)))
                last = f"{path.stem}:{entry.seq}"
        return Page(tuple(found), None)


def _newest(path: Path, below: int | None, count: int) -> deque[Entry]:
    """The last changes of a file that stand before line `below`, oldest first; up to where it can be read."""
    newest: deque[Entry] = deque(maxlen=count)
    try:
        for entry in read(path):
            if below is not None and entry.seq >= below:
                break
            if isinstance(entry.body, Change):
                newest.append(entry)
    except DamagedRecording:
        pass  # a verification says so
    return newest
