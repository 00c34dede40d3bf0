"""A recording while it is written: what came since one last looked, in whole lines."""

from pathlib import Path
from typing import Final

from ostiary.recording.format import MAX_LINE, DamagedRecording, Entry, Seal, split
from ostiary.recording.read import writer_lives
from ostiary.recording.replay import Moment, MomentKind, moment_of
from ostiary.recording.sessions import safe

_CHUNK: Final = 256 * 1024


class Following:
    """One recording, from its beginning on. Its moments come with the number of their line, harmless to a terminal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._line = 0
        self._began: float | None = None
        self._offset = 0.0
        #: It is sealed, damaged, or its writer is gone, and all of it was read.
        self.ended = False
        #: All that there was was read.
        self.caught_up = False

    def more(self) -> list[tuple[int, Moment]]:
        """The next ones, of some 256 KiB. Damage is the last. Raises OSError."""
        lives = writer_lives(self._path)
        found: list[tuple[int, Moment]] = []
        end = self._position + _CHUNK
        with self._path.open("rb") as file:
            file.seek(self._position)
            while not self.ended and self._position < end:
                raw = file.readline(MAX_LINE + 1)
                if not raw.endswith(b"\n") and len(raw) <= MAX_LINE:
                    # A writer at work, or what it left.
                    self.ended = not lives
                    self.caught_up = True
                    return found
                moment = self._read(raw)
                if moment is not None:
                    found.append((self._line, safe(moment)))
                self._line += 1
                self._position += len(raw)
        self.caught_up = self.ended
        return found

    def _read(self, raw: bytes) -> Moment | None:
        line = split(raw)
        try:
            if line is None:
                raise DamagedRecording("it is not a record: run `ostiary audit verify`")
            entry = line.entry()
        except DamagedRecording as error:
            self.ended = True
            return Moment(self._offset, MomentKind.DAMAGE, None, f"line {self._line}: {error}")
        self.ended = isinstance(entry.body, Seal)
        return moment_of(self._at(entry), entry)

    def _at(self, entry: Entry) -> float:
        self._began = entry.time if self._began is None else self._began
        self._offset = max(self._offset, entry.time - self._began)
        return self._offset
