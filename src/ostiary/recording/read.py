"""The reading end: lines and typed records of one file, in bounded memory, believing nothing."""

import fcntl
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ostiary.recording.format import FORMAT, MAX_LINE, DamagedRecording, Entry, Line, NewerFormat, split

_VERSION: Final = re.compile(rb'\{"v":(\d{1,9}),')


def lines(path: Path) -> Iterator[tuple[bytes, Line | None]]:
    """Each line as it is and split; None in place of one that this format does not have.

    A last line without its newline comes as it is with None. Raises OSError; NewerFormat at a first line of a newer
    version; DamagedRecording at a line over 16 MiB, where reading ends.
    """
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            if len(raw) > MAX_LINE:
                raise DamagedRecording(f"{path}: line {number} is longer than {MAX_LINE} bytes")
            if number == 0 and (match := _VERSION.match(raw)) and int(match[1]) > FORMAT:
                raise NewerFormat(int(match[1]))
            yield raw, split(raw)
            number += 1


def read(path: Path) -> Iterator[Entry]:
    """Typed records in order, verifying nothing. A half line at the end (a crash, a writer at work) ends it.

    Raises OSError, NewerFormat, and DamagedRecording at the first line that can't be read.
    """
    for number, (raw, line) in enumerate(lines(path)):
        if line is None:
            if not raw.endswith(b"\n"):
                return
            raise DamagedRecording(f"{path}: line {number} is not a record: run `ostiary audit verify`")
        try:
            yield line.entry()
        except NewerFormat:
            raise
        except DamagedRecording as error:
            raise DamagedRecording(f"{path}: line {number}: {error}") from None


def writer_lives(path: Path) -> bool:
    """Is the process that writes this file alive? Its lock says so; no proof of anything."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
