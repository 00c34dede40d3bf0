"""Records of every kind, a recorded session, and a disk that fails."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ostiary.core import (
    ActionFinished,
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    Record,
    RowsSeen,
    SessionEnded,
    SessionStarted,
)
from ostiary.recording import FileRecording, Signer, State, TrustedKeys, find, verify_all

#: 2026-11-02 12:00 UTC.
NOON = 1793620800.0


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def started(session_id: str = "s1") -> SessionStarted:
    """Who, where."""
    return SessionStarted(
        session_id, "local/shop", "workload", "local", "shop", ("a", "b"), {"sub": "shop"}, "jti", "orders",
        "postgres", "10.1.2.3:40000", ("policy0",),
    )  # fmt: skip


def intent(action_id: int = 1, text: str = "SELECT 1", parameters: tuple[str | None, ...] = ()) -> IntentRecorded:
    """A statement."""
    return IntentRecorded(action_id, text, "SELECT", parameters, ("read orders/public.t",), "allow", ("policy0",))


EVERY: tuple[Record, ...] = (
    started(),
    LeaseIssued("l1", "role", "ostiary_s1"),
    intent(1, "SELECT 'ü\n\u2028' -- \\", ("1", None, "")),
    ActionHeld(2, "a1", ("dba",), "DELETE FROM t", ("policy1",)),
    IntentRecorded(2, "DELETE FROM t", "DELETE", (), (), "hold", ("policy1",), "a1", ("ann",)),
    ActionRefused(3, "DROP TABLE t", "DROP TABLE", ("drop orders/public.t",), "policy", "not permitted", ("policy2",)),
    RowsSeen(1, ("id", "email"), (("1", "•••"), (None, ""))),
    RowsSeen(1, ("message",), (("duplicate key",),), "diagnostic"),
    ActionFinished(1, "ok", "SELECT 2", 2, 40, {"email": "redact"}),
    SessionEnded("client left", "role dropped, 0 backends left", 2, 1),
)


def record(recording: FileRecording, session_id: str = "s1", reason: str = "client left") -> None:
    """A whole session with a record of every kind, sealed."""
    recorder = recording.open(session_id)
    recorder.write(started(session_id))
    recorder.write(*EVERY[1:-1])
    recorder.write(EVERY[-1])
    recorder.close(reason)


def trusted(signer: Signer) -> TrustedKeys:
    """That key alone."""
    return TrustedKeys.of(signer.public)


def states(directory: Path, signer: Signer) -> dict[str, State]:
    """Session id (or "heads") → the worst that `verify_all` says of it."""
    found: dict[str, State] = {}
    for verdict in verify_all(directory, trusted(signer)):
        name = "heads" if verdict.type == "heads" else verdict.name
        if found.get(name) is not State.TAMPERED:
            found[name] = verdict.state
    return found


def path_of(directory: Path, session_id: str = "s1") -> Path:
    """Its file."""
    return find(directory, session_id)


def whole(path: Path) -> list[bytes]:
    """Its lines."""
    return path.read_bytes().splitlines(keepends=True)


def failing_disk(monkeypatch: pytest.MonkeyPatch, accept: int, only: Callable[[bytes], bool] = lambda _: True) -> None:
    """From now on the disk takes `accept` more bytes of what `only` chooses, then is full."""
    write, left = os.write, accept

    def full(fd: int, data: bytes) -> int:
        nonlocal left
        if not only(bytes(data)):
            return write(fd, data)
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, bytes(data)[:left])
        left -= written
        return written

    monkeypatch.setattr(os, "write", full)
