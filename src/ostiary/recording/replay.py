"""A session as it went, moment after moment, for a terminal: every text in a `Moment` is harmless already."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

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
from ostiary.recording.format import DamagedRecording, Entry
from ostiary.recording.layout import find
from ostiary.recording.read import read
from ostiary.recording.sessions import safe


class MomentKind(StrEnum):
    """What happens."""

    STARTED = "started"
    LEASE = "lease"
    STATEMENT = "statement"
    HELD = "held"
    REFUSED = "refused"
    #: Rows as the client saw them, or a sample.
    ROWS = "rows"
    #: Fields of an error or a notice as the client saw them: one row.
    DIAGNOSTIC = "diagnostic"
    FINISHED = "finished"
    ENDED = "ended"
    #: The recording can't be read from here on.
    DAMAGE = "damage"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something to show."""

    #: Seconds since the recording began, never less than those of the moment before.
    offset: float
    kind: MomentKind
    action_id: int | None
    #: The statement, the sentence of a refusal, the completion tag … may have several lines.
    text: str
    #: Further facts, a line each.
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    #: None is null.
    rows: tuple[tuple[str | None, ...], ...] = ()


def replay(directory: Path, prefix: str) -> Iterator[Moment]:
    """The moments of one session, in bounded memory. Damage is the last of them. Raises NoSuchSession, OSError."""
    return _moments(find(directory, prefix))


def _moments(path: Path) -> Iterator[Moment]:
    began: float | None = None
    offset = 0.0
    try:
        for entry in read(path):
            began = entry.time if began is None else began
            # The gateway's clock may have been set back; a replay does not run backwards.
            offset = max(offset, entry.time - began)
            moment = moment_of(offset, entry)
            if moment is not None:
                yield safe(moment)
    except DamagedRecording as error:
        yield safe(Moment(offset, MomentKind.DAMAGE, None, str(error)))


def moment_of(offset: float, entry: Entry) -> Moment | None:
    """What a record shows; None: nothing. Its texts are as they were recorded."""
    notes: tuple[str, ...]
    match entry.body:
        case SessionStarted() as it:
            notes = (f"{it.principal_kind}, groups: {_all(it.groups)}", f"from {it.source}", f"by {_all(it.rules)}")
            return Moment(offset, MomentKind.STARTED, None, f"{it.principal} on {it.target} ({it.protocol})", notes)
        case LeaseIssued() as it:
            return Moment(offset, MomentKind.LEASE, None, f"{it.kind}: {it.username}")
        case IntentRecorded() as it:
            notes = (it.summary, f"{it.verdict} by {_all(it.rules)}", *_parameters(it.parameters))
            if it.approval_id:
                notes += (f"request {it.approval_id} approved by {_all(it.approved_by)}",)
            return Moment(offset, MomentKind.STATEMENT, it.action_id, it.text, notes + _cuts(entry))
        case ActionHeld() as it:
            notes = (f"request {it.approval_id} waits for {_all(it.groups)}", f"by {_all(it.rules)}")
            return Moment(offset, MomentKind.HELD, it.action_id, it.text, notes + _cuts(entry))
        case ActionRefused() as it:
            notes = (it.summary, f"refused ({it.kind}): {it.message}", f"by {_all(it.rules)}")
            return Moment(offset, MomentKind.REFUSED, it.action_id, it.text, notes + _cuts(entry))
        case RowsSeen() as it:
            kind = MomentKind.DIAGNOSTIC if it.kind == "diagnostic" else MomentKind.ROWS
            return Moment(offset, kind, it.action_id, "", _cuts(entry), it.columns, it.rows)
        case ActionFinished() as it:
            masked = tuple(f"{column} masked by {what}" for column, what in it.masked.items())
            return Moment(
                offset, MomentKind.FINISHED, it.action_id, it.tag, (it.status, _counted(it.rows, "row"), *masked)
            )
        case SessionEnded() as it:
            notes = (f"credential: {it.credential}", f"{_counted(it.actions, 'command')}, {it.refused} refused")
            return Moment(offset, MomentKind.ENDED, None, it.reason, notes)
        case _:
            return None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _parameters(values: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(f"${number} = {'NULL' if value is None else value}" for number, value in enumerate(values, 1))


def _cuts(entry: Entry) -> tuple[str, ...]:
    return tuple(f"{cut.at} is cut: {cut.bytes} bytes, SHA-256 {cut.sha256}" for cut in entry.cuts)
