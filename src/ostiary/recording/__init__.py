"""The log of every session: what was asked, ruled, done and shown; chained, sealed, and readable again.

`recorder` writes (the gate's port), `verify` tells whether a recording is whole and true, `sessions` and `replay`
show what it says. `format` and docs/recording.md define the bytes.
"""

from ostiary.recording.chain import Fsync
from ostiary.recording.follow import Following
from ostiary.recording.format import (
    AccessToken,
    Change,
    ChangeStage,
    DamagedRecording,
    Entry,
    NewerFormat,
    RecordingFailed,
    SignIn,
    SignInEvent,
    TokenEvent,
)
from ostiary.recording.keys import KeyProblem, Signer, TrustedKeys
from ostiary.recording.layout import NoSuchSession, find, recordings
from ostiary.recording.read import read
from ostiary.recording.recorder import AuditLog, FileRecorder, FileRecording
from ostiary.recording.replay import Moment, MomentKind, replay
from ostiary.recording.search import AuditFilter, Changed, CommandFound, Found, changes, commands
from ostiary.recording.sessions import (
    MAX_ACTIONS,
    ActionDetail,
    SessionDetail,
    SessionFilter,
    SessionState,
    SessionSummary,
    safe,
    sessions,
    show,
    summarize,
)
from ostiary.recording.verify import Finding, FindingKind, Heads, State, Verdict, verify, verify_all

__all__ = [
    "MAX_ACTIONS",
    "AccessToken",
    "ActionDetail",
    "AuditFilter",
    "AuditLog",
    "Change",
    "ChangeStage",
    "Changed",
    "CommandFound",
    "DamagedRecording",
    "Entry",
    "FileRecorder",
    "FileRecording",
    "Finding",
    "FindingKind",
    "Following",
    "Found",
    "Fsync",
    "Heads",
    "KeyProblem",
    "Moment",
    "MomentKind",
    "NewerFormat",
    "NoSuchSession",
    "RecordingFailed",
    "SessionDetail",
    "SessionFilter",
    "SessionState",
    "SessionSummary",
    "SignIn",
    "SignInEvent",
    "Signer",
    "State",
    "TokenEvent",
    "TrustedKeys",
    "Verdict",
    "changes",
    "commands",
    "find",
    "read",
    "recordings",
    "replay",
    "safe",
    "sessions",
    "show",
    "summarize",
    "verify",
    "verify_all",
]
