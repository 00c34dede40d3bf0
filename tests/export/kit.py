"""Recordings with something to tell, and a tail on them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostiary.core import (
    ActionFinished,
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    RowsSeen,
    SessionEnded,
    SessionStarted,
)
from ostiary.export import FileSettings, OnFull, Statements
from ostiary.export.config import Common
from ostiary.export.ocsf import Events
from ostiary.export.tail import Tail, Teller
from ostiary.recording import AuditLog, Change, ChangeStage, FileRecorder, FileRecording, Signer

READ = IntentRecorded(1, "SELECT 1", "SELECT", (), ("read orders/public.people",), "allow", ("works",))
DENIED = ActionRefused(
    2, "DELETE FROM people", "DELETE", ("delete orders/public.people",), "policy", 'denied by policy "no"', ("no",)
)
HELD = ActionHeld(3, "7K2P", ("dba",), "DROP TABLE people", ("asks",))
APPROVED = IntentRecorded(
    3, "DROP TABLE people", "DROP", (), ("define orders/public.people",), "hold", ("asks",), "7K2P", ("ci:dana",)
)
CHANGE = Change(
    ChangeStage.DONE, "c1", "ci:olga", "jti", "10.0.0.1:5", "administer", "sessions/s1", ("ops",), "why",
    {"state": "running"}, {"state": "ended"},
)  # fmt: skip


def started(session_id: str, principal: str = "ci:shop") -> SessionStarted:
    """The first record."""
    issuer, _, subject = principal.partition(":")
    return SessionStarted(
        session_id, principal, "workload", issuer, subject, ("app",), {}, "jti-1", "orders", "postgres",
        "10.0.0.9:5123", ("works",),
    )  # fmt: skip


@dataclass
class House:
    """A directory of recordings."""

    home: Path
    recording: FileRecording = field(init=False)
    audit: AuditLog = field(init=False)
    clock: float = 1_767_225_600.25

    def __post_init__(self) -> None:
        key = self.home / "recording.key"
        self.recording = FileRecording(self.home / "recordings", Signer.load(key), lambda: self.clock, "never")
        self.audit = AuditLog(self.recording)
        (self.home / "export").mkdir(exist_ok=True)

    @property
    def directory(self) -> Path:
        """Of recordings."""
        return self.home / "recordings"

    def begin(self, session_id: str, principal: str = "ci:shop") -> FileRecorder:
        """A session that is open."""
        recorder = self.recording.open(session_id)
        recorder.write(started(session_id, principal), LeaseIssued("l1", "static", "app"))
        return recorder

    def session(self, session_id: str, principal: str = "ci:shop") -> None:
        """One with everything in it."""
        recorder = self.begin(session_id, principal)
        recorder.write(READ, RowsSeen(1, ("email",), (("a@b",),)), ActionFinished(1, "ok", "SELECT 1", 1, 9))
        recorder.write(DENIED, HELD, APPROVED, ActionFinished(3, "ok", "DROP", 0, 0))
        recorder.write(SessionEnded("the client went away", "kept", 2, 1))
        recorder.close("ended")

    def tail(
        self, name: str = "sink", statements: Statements = Statements.NOTABLE, teller: Teller | None = None
    ) -> Tail:
        """As after a start."""
        return Tail(self.directory, self.home / "export" / f"{name}.cursor", teller or Events(statements))

    def file_sink(self, **more: Any) -> FileSettings:
        """Into `events.jsonl`."""
        common = Common("sink", Statements.NOTABLE, more.pop("max_backlog", 1 << 30), more.pop("on_full", OnFull.DROP))
        settings = {"path": self.home / "events.jsonl", "max_bytes": 1 << 30, "keep": 2, "fsync": False, **more}
        return FileSettings(common, **settings)


def told(tail: Tail, most: int = 1000) -> list[dict[str, Any]]:
    """Everything that is left, acknowledged."""
    found: list[dict[str, Any]] = []
    while True:
        batch = tail.read(most)
        tail.acknowledge(batch)
        found += [json.loads(event) for event in batch.events]
        if not batch.events:
            return found


def short(event: dict[str, Any]) -> tuple[str, str, str]:
    """Class, activity, status."""
    return event["class_name"], event["activity_name"], event["status"]
