"""Looking for something in recordings and audit logs, a bounded part of them at a time. Nothing here verifies them."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.core import ActionHeld, ActionRefused, IntentRecorded
from ostiary.recording.format import Change, DamagedRecording, Entry
from ostiary.recording.layout import audit_logs, recordings
from ostiary.recording.read import read
from ostiary.recording.sessions import SessionSummary, safe, summarize

#: Recordings, and bytes of them, that are read for one page; the last recording may go over.
MAX_OPENED: Final = 500
MAX_READ: Final = 64 << 20
_POSITION: Final = re.compile(r"([\w./-]{1,250}):(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; empty fields ask nothing."""

    #: `issuer:subject`, whole.
    principal: str = ""
    #: "read" of commands; "administer" of changes.
    action: str = ""
    #: Beginning of an object, `orders/public.customers`; of a changed resource, `sessions/5f2c…`.
    resource: str = ""
    #: Of commands: the target, whole.
    target: str = ""
    #: Unix seconds: at or after, and before.
    since: float | None = None
    until: float | None = None
    #: Anywhere in the statement, or in a change's reason; case does not matter.
    text: str = ""

    def within(self, at: float) -> bool:
        """Is this the time?"""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def says(self, *texts: str) -> bool:
        """Is the text in one of these?"""
        return not self.text or any(self.text.casefold() in each.casefold() for each in texts)


@dataclass(frozen=True, slots=True)
class Changed:
    """A line of an audit log, harmless to a terminal."""

    #: Unix seconds.
    time: float
    change: Change


@dataclass(frozen=True, slots=True)
class CommandFound:
    """A command of a session, harmless to a terminal."""

    #: Unix seconds.
    time: float
    session_id: str
    principal: str
    target: str
    #: "ip:port"
    source: str
    action_id: int
    #: "allow", "hold" as it waits, "approved"; of a refused one the kind of refusal.
    verdict: str
    rules: tuple[str, ...]
    #: "read orders/public.customers"
    accesses: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what was found, and where to go on; None: that was all."""

    items: tuple[CommandFound, ...]
    next: str | None


def commands(
    directory: Path, wanted: AuditFilter, admitted: Callable[[str], bool], after: str = "", limit: int = 200
) -> Found:
    """Commands, of the newest session first, in a session in their order. Can be empty and not be the last.

    Args:
        directory: of recordings.
        wanted: what is looked for.
        admitted: may sessions on this target be read?
        after: `next` of the part before.
        limit: of items.

    Raises:
        ValueError: `after` is no position.
        OSError: they can't be read.
    """
    begin, line = _position(after)
    found: list[CommandFound] = []
    opened = size = 0
    for path in recordings(directory):
        place = path.relative_to(directory).as_posix()
        if begin and place > begin:
            continue
        behind = line if place == begin else -1
        status = path.stat()
        if wanted.since is not None and status.st_mtime < wanted.since - 1:
            continue
        if opened == MAX_OPENED or size > MAX_READ:
            return Found(tuple(found), f"{place}:{max(behind, 0)}")
        opened += 1
        summary = summarize(path)
        if not (
            (not wanted.target or summary.target == wanted.target)
            and (not wanted.principal or summary.principal == wanted.principal)
            and (wanted.until is None or (summary.started or 0.0) < wanted.until)
            and admitted(summary.target)
        ):
            continue
        size += status.st_size
        last = max(behind, 0)
        for number, each in _of_session(path, summary, wanted, behind):
            if len(found) == limit:
                return Found(tuple(found), f"{place}:{last}")
            found.append(each)
            last = number
    return Found(tuple(found), None)


def changes(
    directory: Path, wanted: AuditFilter, after: str = "", limit: int = 200
) -> tuple[tuple[Changed, ...], str | None]:
    """Changes, newest first, and where to go on. Raises ValueError for a position that is none, OSError."""
    begin, line = _position(after)
    found: list[Changed] = []
    last = ""
    for path in reversed(audit_logs(directory)):
        if begin and path.stem > begin:
            continue
        below = line if path.stem == begin else None
        for entry in reversed(_newest(path, wanted, below, limit + 1 - len(found))):
            if len(found) == limit:
                return tuple(found), last
            assert isinstance(entry.body, Change)
            found.append(Changed(entry.time, safe(entry.body)))
            last = f"{path.stem}:{entry.seq}"
    return tuple(found), None


def _position(after: str) -> tuple[str, int]:
    match = _POSITION.fullmatch(after) if after else None
    if after and match is None:
        raise ValueError("no position in the recordings")
    return (match[1], int(match[2])) if match is not None else ("", -1)


def _of_session(
    path: Path, summary: SessionSummary, wanted: AuditFilter, behind: int
) -> Iterator[tuple[int, CommandFound]]:
    """Those behind a line; up to where it can be read."""
    try:
        for entry in read(path):
            body = entry.body
            if entry.seq <= behind or not isinstance(body, IntentRecorded | ActionRefused | ActionHeld):
                continue
            accesses = () if isinstance(body, ActionHeld) else body.accesses
            if wanted.within(entry.time) and wanted.says(body.text) and _touches(accesses, wanted):
                yield (
                    entry.seq,
                    safe(
                        CommandFound(
                            entry.time,
                            summary.session_id,
                            summary.principal,
                            summary.target,
                            summary.source,
                            body.action_id,
                            _verdict(body),
                            body.rules,
                            accesses,
                            body.text,
                        )
                    ),
                )
    except DamagedRecording:
        pass  # a verification says so


def _verdict(body: IntentRecorded | ActionRefused | ActionHeld) -> str:
    match body:
        case IntentRecorded():
            return "approved" if body.approval_id else body.verdict
        case ActionRefused():
            return f"refused: {body.kind}"
        case ActionHeld():
            return "held"


def _touches(accesses: tuple[str, ...], wanted: AuditFilter) -> bool:
    """Does one access do what is looked for, to what is looked for?"""
    if not wanted.action and not wanted.resource:
        return True
    pairs = (each.partition(" ") for each in accesses)
    return any(
        (not wanted.action or operation == wanted.action) and name.startswith(wanted.resource)
        for operation, _, name in pairs
    )


def _newest(path: Path, wanted: AuditFilter, below: int | None, count: int) -> deque[Entry]:
    """The last changes of a file that stand before line `below`, oldest first; up to where it can be read."""
    newest: deque[Entry] = deque(maxlen=count)
    try:
        for entry in read(path):
            if below is not None and entry.seq >= below:
                break
            if isinstance(entry.body, Change) and _fits(entry.time, entry.body, wanted):
                newest.append(entry)
    except DamagedRecording:
        pass  # a verification says so
    return newest


def _fits(at: float, change: Change, wanted: AuditFilter) -> bool:
    return (
        (not wanted.principal or change.by == wanted.principal)
        and (not wanted.action or change.action == wanted.action)
        and change.resource.startswith(wanted.resource)
        and wanted.within(at)
        and wanted.says(change.reason, change.resource)
    )
