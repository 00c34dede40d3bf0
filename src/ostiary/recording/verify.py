"""Is this recording what the gateway wrote, all of it, and nothing else?

`verify` walks one file and says what is wrong with it. What a file can't show by itself, that its tail or the whole
of it is gone, follows from the heads logs: `verify_all` reads those first and holds every file against them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from ostiary.recording.format import (
    DamagedRecording,
    Entry,
    FileType,
    Head,
    Header,
    HeadEvent,
    Line,
    NewerFormat,
    Seal,
    genesis,
    signed_message,
)
from ostiary.recording.keys import TrustedKeys
from ostiary.recording.layout import audit_logs, heads_logs, recordings, session_of
from ostiary.recording.read import lines, writer_lives

#: Findings kept of one file; the first ones say what happened.
_MAX_FINDINGS: Final = 20


class State(StrEnum):
    """What became of one file."""

    #: Sealed, and every check passed.
    INTACT = "intact"
    #: No seal yet: its writer is at work. All checks that can be made passed.
    RUNNING = "running"
    #: No seal, and no writer any more: the process died. All checks that can be made passed.
    UNSEALED = "unsealed"
    TAMPERED = "tampered"
    #: A newer version wrote it, or it can't be opened.
    UNREADABLE = "unreadable"


class FindingKind(StrEnum):
    """What is wrong."""

    NOT_SEALED = "not-sealed"
    TORN = "torn"
    CHANGED = "changed"
    ORDER = "missing-or-reordered"
    TRUNCATED = "truncated"
    SIGNATURE = "bad-signature"
    UNKNOWN_KEY = "unknown-key"
    HEADER = "header"
    TRAILING = "trailing"
    HEADS = "heads-log"
    MISSING = "missing-file"
    UNREADABLE = "unreadable"


#: Found as well where a process died: no sign of tampering by themselves.
_SOFT: Final = frozenset({FindingKind.NOT_SEALED, FindingKind.TORN})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, for people. Quotes nothing of what is recorded."""

    kind: FindingKind
    message: str
    #: The record it is about, counted from 0 as in `seq`.
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one file."""

    path: Path
    #: Session id, or name of the heads log or audit log.
    name: str
    type: FileType
    state: State
    findings: tuple[Finding, ...]
    #: Whole lines found.
    records: int
    #: Fingerprint that its header names; "" when there is none.
    key: str = ""


@dataclass(slots=True)
class _Known:
    """What heads logs say of one recording."""

    file: str
    marks: dict[int, str] = field(default_factory=dict)
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Heads:
    """What all heads logs of a directory say, some 500 bytes a session."""

    sessions: Mapping[str, _Known]
    verdicts: tuple[Verdict, ...]

    @classmethod
    def load(cls, directory: Path, keys: TrustedKeys) -> "Heads":
        """Read and verify every heads log. What is wrong with them is in `verdicts`. Raises OSError."""
        sessions: dict[str, _Known] = {}
        paths = heads_logs(directory)
        claims = _claims(paths)
        verdicts: list[Verdict] = []
        for path in paths:
            scan = _Scan(path, path.stem, FileType.HEADS, keys, claims.pop(path.stem, {}))
            for line in scan.run():
                if line.kind == "head":
                    _learn(scan, line, sessions)
            verdicts.append(scan.verdict())
        for name in claims:
            gone = Finding(FindingKind.MISSING, f"heads log {name} is missing: a later heads log names it")
            path = directory / "heads" / f"{name}.log"
            verdicts.append(Verdict(path, name, FileType.HEADS, State.TAMPERED, (gone,), 0))
        return cls(sessions, tuple(verdicts))


def verify(path: Path, keys: TrustedKeys, heads: Heads | None = None) -> Verdict:
    """Check one recording or audit log: every hash, place and signature; with `heads`, also that nothing is gone."""
    file_type, name = _type_of(path), _name_of(path)
    known = heads.sessions.get(name) if heads is not None else None
    scan = _Scan(path, name, file_type, keys, known.marks if known is not None else {})
    for _ in scan.run():
        pass
    if heads is not None and not scan.unreadable:
        if known is None and scan.count > 1:
            # A lone header is what a crash between the two files leaves.
            scan.find(FindingKind.HEADS, f"no heads log has opened this {file_type}: a heads log was deleted or cut")
        if known is not None and path.absolute().parts[-len(Path(known.file).parts) :] != Path(known.file).parts:
            scan.find(FindingKind.HEADS, "it is not where the heads log saw it begun: it was moved or copied")
        if known is not None and known.sealed and not scan.sealed:
            scan.find(FindingKind.TRUNCATED, f"the heads log saw this {file_type} sealed, and the seal is gone")
    return scan.verdict()


def verify_all(
    directory: Path, keys: TrustedKeys, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Iterator[Verdict]:
    """A verdict for every heads log, audit log and recording, also for each that should be there and is not.

    `progress` gets files done and files in total. Raises OSError when the directory can't be read.
    """
    # Files before heads logs: a recording begun meanwhile is then in neither list or in both.
    paths = [*audit_logs(directory), *recordings(directory)]
    heads = Heads.load(directory, keys)
    yield from heads.verdicts
    listed = {_name_of(path) for path in paths}
    more = {name: directory / known.file for name, known in heads.sessions.items() if name not in listed}
    total = len(paths) + len(more)
    for done, path in enumerate(paths, 1):
        yield verify(path, keys, heads)
        progress(done, total)
    for done, (name, path) in enumerate(more.items(), len(paths) + 1):
        if path.exists():
            yield verify(path, keys, heads)
        else:
            file_type = _type_of(path)
            gone = Finding(FindingKind.MISSING, f"the heads log has opened this {file_type}, and the file is gone")
            yield Verdict(path, name, file_type, State.TAMPERED, (gone,), 0)
        progress(done, total)


def _type_of(path: Path) -> FileType:
    return FileType.AUDIT if path.suffix == ".log" else FileType.RECORDING


def _name_of(path: Path) -> str:
    return path.stem if path.suffix == ".log" else session_of(path)


# ---------------------------------------------------------------- heads logs


def _claims(paths: list[Path]) -> dict[str, dict[int, str]]:
    """Name of a heads log → what later ones say stood in it: seq → hash."""
    claims: dict[str, dict[int, str]] = {}
    for path in paths:
        try:
            _, line = next(lines(path), (b"", None))
            entry = line.entry() if line is not None else None
        except (OSError, DamagedRecording):
            continue  # its own verdict says so
        if entry is not None and isinstance(entry.body, Header):
            for other in entry.body.previous:
                claims.setdefault(other.name, {})[other.seq] = other.hash
    return claims


def _learn(scan: "_Scan", line: Line, sessions: dict[str, _Known]) -> None:
    head = scan.body(line)
    if not isinstance(head, Head):
        return
    known = sessions.setdefault(head.session_id, _Known(head.file))
    if head.event is HeadEvent.CHECKPOINT:
        # The newest checkpoint vouches for the older ones.
        known.marks = {seq: digest for seq, digest in known.marks.items() if seq == 0}
    known.marks[head.seq] = head.hash
    known.sealed = known.sealed or head.event is HeadEvent.SEALED


# ---------------------------------------------------------------- one file


class _Scan:
    """One pass over one chained file."""

    def __init__(self, path: Path, name: str, file_type: FileType, keys: TrustedKeys, marks: Mapping[int, str]) -> None:
        self.path = path
        self.name = name
        self.type = file_type
        self.keys = keys
        #: seq → hash that another file says this one has.
        self.marks = marks
        self.count = 0
        self.sealed = False
        self.key = ""
        self._findings: list[Finding] = []
        self.unreadable = False

    def find(self, kind: FindingKind, message: str, seq: int | None = None) -> None:
        """Keep a finding."""
        if len(self._findings) < _MAX_FINDINGS:
            self._findings.append(Finding(kind, message, seq))

    def run(self) -> Iterator[Line]:
        """Check line after line, and hand on those that are lines."""
        # None after a line that is none: what followed it can't be checked against it.
        previous: bytes | None = genesis(self.type, self.name)
        expected = 0
        signed: Line | None = None
        try:
            for raw, line in lines(self.path):
                if line is None:
                    self._no_line(raw, expected)
                    expected += raw.endswith(b"\n")
                    previous = None
                    continue
                self.count += 1
                self._place(line, expected)
                self._chain(line, expected, previous)
                self._signature(line)
                if line.signature:
                    signed = line
                yield line
                previous, expected = line.hash.encode(), line.seq + 1
        except (OSError, NewerFormat) as error:
            self.unreadable = True
            self.find(FindingKind.UNREADABLE, str(error))
            return
        except DamagedRecording as error:
            self.find(FindingKind.UNREADABLE, str(error))
        if self.type is FileType.HEADS and signed is not None:
            # Every line is signed there; the last signature vouches for the chain before it.
            self._check(signed)
        for seq in self.marks:
            if seq >= expected:
                self.find(FindingKind.TRUNCATED, f"it ends before record {seq}, which the heads log has seen", seq)

    def body(self, line: Line) -> object:
        """Typed body of a line, or None, which is then found to be unreadable."""
        try:
            entry: Entry = line.entry()
        except DamagedRecording as error:
            self.find(FindingKind.UNREADABLE, str(error), line.seq)
            return None
        return entry.body

    def verdict(self) -> Verdict:
        """What the pass has found."""
        if not self.count and not self._findings and not self.marks:
            self.find(FindingKind.TORN, "it is empty")
        if not self.sealed and not self.unreadable:
            self.find(FindingKind.NOT_SEALED, "it has no seal: its writer is at work, or died")
        if self.unreadable:
            state = State.UNREADABLE
        elif any(finding.kind not in _SOFT for finding in self._findings):
            state = State.TAMPERED
        elif self.sealed:
            state = State.INTACT
        else:
            state = State.RUNNING if writer_lives(self.path) else State.UNSEALED
        return Verdict(self.path, self.name, self.type, state, tuple(self._findings), self.count, self.key)

    # ------------------------------------------------------------ checks

    def _no_line(self, raw: bytes, expected: int) -> None:
        if self.sealed:
            self.find(FindingKind.TRAILING, "something follows the seal", expected)
        elif not raw.endswith(b"\n"):
            self.find(FindingKind.TORN, f"it ends in a half line of {len(raw)} bytes", expected)
        else:
            self.find(FindingKind.CHANGED, f"record {expected} is not a record any more", expected)

    def _place(self, line: Line, expected: int) -> None:
        if self.sealed:
            self.find(FindingKind.TRAILING, f"record {line.seq} follows the seal", line.seq)
        if line.seq > expected:
            which = f"record {expected} is" if line.seq == expected + 1 else f"records {expected} to {line.seq - 1} are"
            self.find(FindingKind.ORDER, f"{which} missing before record {line.seq}", line.seq)
        elif line.seq < expected:
            self.find(
                FindingKind.ORDER, f"record {line.seq} follows record {expected - 1}: reordered or repeated", line.seq
            )

    def _chain(self, line: Line, expected: int, previous: bytes | None) -> None:
        seq = line.seq
        if seq == expected and previous is not None and line.digest(previous) != line.hash:
            what = f"record {seq} was changed" if seq else "the first record was changed, or belongs to another session"
            self.find(FindingKind.CHANGED, what, seq)
        mark = self.marks.get(seq)
        if mark is not None and mark != line.hash:
            self.find(FindingKind.HEADS, f"record {seq} is not the one that the heads log has seen", seq)
        if expected == 0:
            self._header(line)
        elif line.kind == "header":
            self.find(FindingKind.HEADER, f"record {seq} is a second header", seq)
        if line.kind == "seal":
            seal = self.body(line)
            if isinstance(seal, Seal) and seal.records != seq:
                self.find(FindingKind.CHANGED, f"the seal counts {seal.records} records, and stands after {seq}", seq)
            self.sealed = True

    def _header(self, line: Line) -> None:
        header = self.body(line) if line.kind == "header" else None
        if not isinstance(header, Header):
            self.find(FindingKind.HEADER, "it does not begin with a header", line.seq)
            return
        self.key = header.key
        if header.type != self.type or header.name != self.name:
            self.find(FindingKind.HEADER, f"its header is not that of {self.type} {self.name}", line.seq)
        if header.key not in self.keys.by_fingerprint:
            self.find(FindingKind.UNKNOWN_KEY, f"its key {header.key[:16]}… is not among the trusted ones", line.seq)

    def _signature(self, line: Line) -> None:
        must = line.kind in {"header", "checkpoint", "seal", "head", "change", "sign_in", "token"}
        if must and not line.signature:
            self.find(FindingKind.SIGNATURE, f"record {line.seq} has lost its signature", line.seq)
        elif line.signature and self.type is not FileType.HEADS:
            self._check(line)

    def _check(self, line: Line) -> None:
        message = signed_message(self.type, self.name, line.kind, line.seq, line.hash)
        if self.key in self.keys.by_fingerprint and not self.keys.verifies(
            self.key, bytes.fromhex(line.signature), message
        ):
            self.find(
                FindingKind.SIGNATURE,
                f"the signature of record {line.seq} is not that of key {self.key[:16]}…",
                line.seq,
            )
