"""What recordings say, for people: a list, and one session in detail. Nothing here verifies anything.

Texts come as they were recorded, and that is hostile: put what is returned through `safe` before a terminal sees it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar, assert_never

from ostiary.core import (
    ActionFinished,
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    SessionEnded,
    SessionStarted,
    printable,
    printable_lines,
)
from ostiary.recording.format import Cut, DamagedRecording, Entry, Seal, split
from ostiary.recording.layout import find, recordings, session_of
from ostiary.recording.read import read, writer_lives

#: Enough for the last facts of a session: its end and its seal.
_TAIL: Final = 256 * 1024
#: Records of an unfinished session that a list reads to count its commands.
_COUNTED: Final = 20_000
#: Commands that `show` returns.
MAX_ACTIONS: Final = 1000


class SessionState(StrEnum):
    """How a recording looks from outside; whether that is true, `verify` tells."""

    RUNNING = "running"
    SEALED = "sealed"
    #: No seal and no writer: its process died.
    UNSEALED = "unsealed"
    #: Damaged, or of a newer version.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of `ostiary sessions list`."""

    session_id: str
    path: Path
    state: SessionState
    #: Unix seconds.
    started: float | None = None
    ended: float | None = None
    principal: str = ""
    target: str = ""
    protocol: str = ""
    source: str = ""
    #: Commands that were let through, and commands that were refused; None when it is not known.
    actions: int | None = None
    refused: int | None = None
    #: Why it ended, or why it can't be read.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list; empty fields ask nothing. Names are compared whole."""

    principal: str = ""
    target: str = ""
    state: SessionState | None = None
    #: Unix seconds: begun at or after, and before.
    since: float | None = None
    until: float | None = None
    #: Only sessions with a refused command.
    refused: bool = False

    def admits(self, summary: SessionSummary) -> bool:
        """Is this session asked for?"""
        started = summary.started or 0.0
        return (
            (not self.principal or summary.principal == self.principal)
            and (not self.target or summary.target == self.target)
            and (self.state is None or summary.state is self.state)
            and (self.since is None or started >= self.since)
            and (self.until is None or started < self.until)
            and (not self.refused or bool(summary.refused))
        )


@dataclass(frozen=True, slots=True)
class ActionDetail:
    """One command: what it was, what was ruled, how it ended."""

    action_id: int
    #: Unix seconds of its ruling.
    time: float
    text: str
    summary: str
    verdict: str
    rules: tuple[str, ...]
    parameters: tuple[str | None, ...] = ()
    #: Texts that were too long to be recorded whole.
    cuts: tuple[Cut, ...] = ()
    approval_id: str = ""
    approved_by: tuple[str, ...] = ()
    #: "ok", "error", "cancelled", "refused"; "" while it runs or when its end was not recorded.
    status: str = ""
    #: Completion tag or error code; the sentence of a refusal.
    outcome: str = ""
    rows: int = 0
    bytes: int = 0
    masked: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """One session: `ostiary sessions show`."""

    summary: SessionSummary
    started: SessionStarted | None
    lease: LeaseIssued | None
    ended: SessionEnded | None
    actions: tuple[ActionDetail, ...]
    #: Commands beyond those in `actions`.
    more: int
    #: Why reading ended early, when it did.
    damage: str = ""


# ---------------------------------------------------------------- use-cases


def sessions(directory: Path, limit: int, wanted: SessionFilter | None = None) -> tuple[SessionSummary, ...]:
    """The newest `limit` sessions that are asked for. Opens no more files than it must. Raises OSError."""
    found: list[SessionSummary] = []
    for path in recordings(directory):
        if len(found) >= limit:
            break
        summary = summarize(path)
        if wanted is None or wanted.admits(summary):
            found.append(summary)
    return tuple(found)


def summarize(path: Path) -> SessionSummary:
    """A session from the beginning and the end of its file. A file that can't be read comes as UNREADABLE."""
    session_id = session_of(path)
    try:
        return _summary(session_id, path)
    except (OSError, DamagedRecording) as error:
        return SessionSummary(session_id, path, SessionState.UNREADABLE, reason=str(error))


def show(directory: Path, prefix: str, limit: int = MAX_ACTIONS) -> SessionDetail:
    """One session with its first `limit` commands. Raises NoSuchSession, OSError."""
    path = find(directory, prefix)
    started: SessionStarted | None = None
    lease: LeaseIssued | None = None
    ended: SessionEnded | None = None
    actions: dict[int, ActionDetail] = {}
    more = 0
    damage = ""
    try:
        for entry in read(path):
            match entry.body:
                case SessionStarted():
                    started = entry.body
                case LeaseIssued():
                    lease = entry.body
                case SessionEnded():
                    ended = entry.body
                case IntentRecorded() | ActionRefused() | ActionHeld() if (
                    len(actions) >= limit and entry.body.action_id not in actions
                ):
                    more += not isinstance(entry.body, ActionHeld)
                case IntentRecorded() | ActionRefused() | ActionHeld():
                    actions[entry.body.action_id] = _judged(entry, entry.body, actions.get(entry.body.action_id))
                case ActionFinished(action_id=action_id) if action_id in actions:
                    actions[action_id] = _finished(actions[action_id], entry.body)
                case _:
                    pass
    except DamagedRecording as error:
        damage = str(error)
    return SessionDetail(summarize(path), started, lease, ended, tuple(actions.values()), more, damage)


T = TypeVar("T")


def safe(thing: T) -> T:
    """The same with every text made harmless: the last step before a terminal.

    Takes what this room returns: dataclasses, tuples, mappings, texts. A field called `text` keeps its newlines (its
    lines are `printable_lines`), for the caller to split at and indent; everything else comes on one line.
    """
    return _safe(thing)  # type: ignore[return-value]


# ---------------------------------------------------------------- inside


def _safe(thing: object) -> object:
    match thing:
        case StrEnum():
            return thing
        case str():
            return printable(thing)
        case tuple():
            return tuple(map(_safe, thing))
        case Mapping():
            return {_safe(key): _safe(value) for key, value in thing.items()}
        case _ if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
            return dataclasses.replace(
                thing,
                **{
                    name: "\n".join(printable_lines(value))
                    if name == "text" and isinstance(value, str)
                    else _safe(value)
                    for name, value in fields.items()
                },
            )
        case _:
            return thing


def _summary(session_id: str, path: Path) -> SessionSummary:
    entries = read(path)
    header = next(entries, None)
    first = next(entries, None)
    started = first.body if first is not None and isinstance(first.body, SessionStarted) else None
    seal, ended = _end(path)
    actions, refused = (ended.actions, ended.refused) if ended is not None else (None, None)
    if seal is not None:
        state = SessionState.SEALED
    else:
        state = SessionState.RUNNING if writer_lives(path) else SessionState.UNSEALED
        if ended is None:
            actions, refused = _count(entries)
    return SessionSummary(
        session_id,
        path,
        state,
        header.time if header is not None else None,
        seal.time if seal is not None else None,
        started.principal if started is not None else "",
        started.target if started is not None else "",
        started.protocol if started is not None else "",
        started.source if started is not None else "",
        actions,
        refused,
        ended.reason if ended is not None else _seal_reason(seal),
    )


def _end(path: Path) -> tuple[Entry | None, SessionEnded | None]:
    """The seal and the end of the session, from the tail of the file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read(_TAIL).splitlines(keepends=True)[-3:]  # a checkpoint may stand between the two
    entries = [line.entry() for line in map(split, tail) if line is not None]
    seal = entries[-1] if entries and isinstance(entries[-1].body, Seal) else None
    ended = next((entry.body for entry in entries if isinstance(entry.body, SessionEnded)), None)
    return seal, ended


def _seal_reason(seal: Entry | None) -> str:
    return seal.body.reason if seal is not None and isinstance(seal.body, Seal) else ""


def _count(entries: Iterator[Entry]) -> tuple[int | None, int | None]:
    """Commands let through and refused so far; None when there are too many records to read for a list."""
    actions = refused = 0
    for number, entry in enumerate(entries):
        if number >= _COUNTED:
            return None, None
        actions += isinstance(entry.body, IntentRecorded)
        refused += isinstance(entry.body, ActionRefused)
    return actions, refused


def _judged(entry: Entry, body: IntentRecorded | ActionRefused | ActionHeld, held: ActionDetail | None) -> ActionDetail:
    approval_id = held.approval_id if held is not None else ""
    match body:
        case IntentRecorded():
            return ActionDetail(
                body.action_id,
                entry.time,
                body.text,
                body.summary,
                body.verdict,
                body.rules,
                body.parameters,
                entry.cuts,
                body.approval_id,
                body.approved_by,
            )
        case ActionRefused():
            return ActionDetail(
                body.action_id,
                entry.time,
                body.text,
                body.summary,
                body.kind,
                body.rules,
                cuts=entry.cuts,
                approval_id=approval_id,
                status="refused",
                outcome=body.message,
            )
        case ActionHeld():
            return ActionDetail(
                body.action_id,
                entry.time,
                body.text,
                "",
                "hold",
                body.rules,
                cuts=entry.cuts,
                approval_id=body.approval_id,
                status="held",
                outcome=f"waits for {', '.join(body.groups)}",
            )
        case _:
            assert_never(body)


def _finished(action: ActionDetail, body: ActionFinished) -> ActionDetail:
    return dataclasses.replace(
        action, status=body.status, outcome=body.tag, rows=body.rows, bytes=body.bytes, masked=body.masked
    )
