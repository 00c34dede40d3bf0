"""Reading on in recordings and audit logs, from where a sink was given the last event.

The heads logs say, in order, which files there are. A cursor is a position in each heads log and in each file that is
not read to its end; it is written in one step once a sink has acknowledged, so a crash at any moment means that some
events are told again, and none is left out. Everything here is for one thread at a time.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ostiary.core import SessionStarted
from ostiary.export.ocsf import Origin
from ostiary.recording import DamagedRecording, Entry
from ostiary.recording.format import KINDS, MAX_LINE, Head, HeadEvent, Line, split
from ostiary.recording.layout import heads_logs
from ostiary.recording.read import writer_lives

#: Files that are read at once; further ones wait in their heads logs.
MAX_FILES: Final = 20_000
#: Bytes of records that one batch reads.
READ_BYTES: Final = 4 * 1024 * 1024
_FILE: Final = re.compile(r"(?:\d{4}/\d\d/\d\d|audit)/[\w.-]{1,255}", re.ASCII)
_START: Final = KINDS[SessionStarted]


class Teller(Protocol):
    """What is made of records."""

    @property
    def kinds(self) -> frozenset[str]:
        """Of records that there may be something to tell of; lines of other kinds are not decoded."""
        ...

    @property
    def remembers(self) -> bool:
        """It looks back: after a restart it is shown a file again from the beginning."""
        ...

    def told(self, entry: Entry, origin: Origin) -> Sequence[bytes]:
        """Events, each encoded."""
        ...

    def forget(self, origin: Origin) -> None:
        """The file is over."""
        ...


class _Cursor(msgspec.Struct):
    """Byte positions behind the last line that was acknowledged."""

    heads: dict[str, int] = {}
    files: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    """Events, and where reading goes on once they are delivered."""

    events: tuple[bytes, ...]
    files: Mapping[str, int]
    #: Read to their end, which is sealed or nobody's.
    done: frozenset[str]


@dataclass(slots=True)
class Tail:
    """One sink's.

    Args:
        directory: of recordings.
        path: of the cursor. Where there is none, everything that was recorded is told.
        teller: says what there is to tell.
        from_now: where there is no cursor, only files that are begun from now on are told.
    """

    directory: Path
    path: Path
    teller: Teller
    from_now: bool = False
    _cursor: _Cursor = field(init=False)
    _origins: dict[str, Origin] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.load()

    def load(self) -> None:
        """Go on from the cursor as it is on disk. Raises OSError, ValueError for a cursor that is none."""
        try:
            self._cursor = msgspec.json.decode(self.path.read_bytes(), type=_Cursor)
        except FileNotFoundError:
            self._cursor = _Cursor()
            if self.from_now:
                self._cursor.heads = {path.name: _end(path) for path in heads_logs(self.directory)}
                self._save()
        except msgspec.MsgspecError:
            raise ValueError(
                f"{self.path} is no cursor: move it away, and everything that was recorded is told again"
            ) from None

    def backlog(self) -> int:
        """Bytes that are left to be read, of the files that are known."""
        self._discover()
        return sum(max(0, self._size(name) - at) for name, at in self._cursor.files.items())

    def drop(self, limit: int) -> int:
        """Pass over what is oldest until at most `limit` bytes are left; returns how many bytes were."""
        left, dropped = self.backlog(), 0
        for name, at in sorted(self._cursor.files.items()):
            if left - dropped <= limit:
                break
            size = self._size(name)
            dropped += max(0, size - at)
            self._cursor.files[name] = size
        if dropped:
            self._save()
        return dropped

    def read(self, most: int) -> Batch:
        """The next events, at most so many. Raises OSError."""
        self._discover()
        events: list[bytes] = []
        files: dict[str, int] = {}
        done: set[str] = set()
        budget = READ_BYTES
        for name in sorted(self._cursor.files):
            at = self._cursor.files[name]
            if len(events) >= most or budget <= 0:
                break
            sealed = False
            try:
                # Asked before the last line is read: what is written later is not missed.
                over = not writer_lives(self.directory / name)
                for end, line in self._lines(name, at):
                    over = False
                    budget -= end - at
                    at = end
                    if line is not None:
                        sealed = line.kind == "seal"
                        events += self._told(name, line)
                    if len(events) >= most or budget <= 0:
                        break
            except FileNotFoundError:
                done.add(name)
                continue
            if at != self._cursor.files[name]:
                files[name] = at
            if sealed or over:
                done.add(name)
        return Batch(tuple(events), files, frozenset(done))

    def acknowledge(self, batch: Batch) -> None:
        """These were delivered. Raises OSError."""
        if not batch.files and not batch.done:
            return
        self._cursor.files.update(batch.files)
        for name in batch.done:
            self._cursor.files.pop(name, None)
            origin = self._origins.pop(name, None)
            if origin is not None:
                self.teller.forget(origin)
        self._save()

    # ------------------------------------------------------------ inside

    def _discover(self) -> None:
        """Files that were begun since; where there are too many, the rest is found later."""
        logs = heads_logs(self.directory)
        self._cursor.heads = {path.name: self._cursor.heads.get(path.name, 0) for path in logs}
        for path in logs:
            at = self._cursor.heads.get(path.name, 0)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size <= at:
                    continue
                for end, line in _lines(path, at):
                    if len(self._cursor.files) >= MAX_FILES:
                        return
                    at = self._cursor.heads[path.name] = end
                    name = _opened(line)
                    if name:
                        self._cursor.files.setdefault(name, 0)

    def _told(self, name: str, line: Line) -> Sequence[bytes]:
        if line.kind == _START:
            self._origins[name] = _begun(line) or Origin(Path(name).stem, None)
        if line.kind not in self.teller.kinds:
            return ()
        try:
            return self.teller.told(line.entry(), self._origin(name))
        except DamagedRecording:
            return ()  # a verification says so

    def _origin(self, name: str) -> Origin:
        """Whose file it is; read again after a restart."""
        found = self._origins.get(name)
        if found is None:
            found = self._origins[name] = Origin(Path(name).stem, None)
            end = self._cursor.files.get(name, 0)
            for number, (at, line) in enumerate(self._lines(name, 0)):
                if at > end or (number > 1 and not self.teller.remembers):
                    break
                if line is not None:
                    self._told(name, line)
            found = self._origins[name]
        return found

    def _lines(self, name: str, at: int) -> Iterator[tuple[int, Line | None]]:
        return _lines(self.directory / name, at)

    def _size(self, name: str) -> int:
        try:
            return (self.directory / name).stat().st_size
        except OSError:
            return 0

    def _save(self) -> None:
        """In one step: a crash leaves the one before, or this one."""
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(self._cursor))
                file.flush()
                os.fsync(fd)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _lines(path: Path, at: int) -> Iterator[tuple[int, Line | None]]:
    """Whole lines from a position, each with the position behind it; None for one that is no record."""
    with path.open("rb") as file:
        file.seek(at)
        while raw := file.readline(MAX_LINE):
            if not raw.endswith(b"\n") and len(raw) < MAX_LINE:
                return
            at += len(raw)
            yield at, split(raw)


def _end(path: Path) -> int:
    """The position behind the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1


def _begun(line: Line) -> Origin | None:
    with contextlib.suppress(DamagedRecording):
        entry = line.entry()
        if isinstance(entry.body, SessionStarted):
            return Origin(entry.body.session_id, entry.body, entry.time)
    return None


def _opened(line: Line | None) -> str:
    if line is None or line.kind != KINDS[Head]:
        return ""
    with contextlib.suppress(DamagedRecording):
        body = line.entry().body
        if isinstance(body, Head) and body.event is HeadEvent.OPENED and _FILE.fullmatch(body.file):
            return body.file
    return ""
