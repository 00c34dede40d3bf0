"""The vocabulary every room shares. Standard library only; everything is frozen."""

from ostiary.core.action import Access, Action, Move, Operation, Parameter, Shape, Stage
from ostiary.core.principal import Principal, PrincipalKind, Proof
from ostiary.core.printable import printable, printable_lines
from ostiary.core.record import (
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
from ostiary.core.result import Column, Datum, Outcome, Result, ResultKind, Rows, ValueCodec, ValueKind
from ostiary.core.ruling import Permit, Refusal, RefusalKind, Ruling, Verdict
from ostiary.core.secret import Secret
from ostiary.core.target import Lease, RecordingLevel, Target, TlsMode, TlsSettings

__all__ = [
    "Access",
    "Action",
    "ActionFinished",
    "ActionHeld",
    "ActionRefused",
    "Column",
    "Datum",
    "IntentRecorded",
    "Lease",
    "LeaseIssued",
    "Move",
    "Operation",
    "Outcome",
    "Parameter",
    "Permit",
    "Principal",
    "PrincipalKind",
    "Proof",
    "Record",
    "RecordingLevel",
    "Refusal",
    "RefusalKind",
    "Result",
    "ResultKind",
    "Rows",
    "RowsSeen",
    "Ruling",
    "Secret",
    "SessionEnded",
    "SessionStarted",
    "Shape",
    "Stage",
    "Target",
    "TlsMode",
    "TlsSettings",
    "ValueCodec",
    "ValueKind",
    "Verdict",
    "printable",
    "printable_lines",
]
