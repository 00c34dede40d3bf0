"""The numbers of a process for another one: a small file each writes now and then, and one that reads them all.

Counts never go back while the reader lives: what a process that is gone has counted stays, what it was (gauges) does
not. Files are named by process and random, so that none is taken for another's.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ostiary.telemetry.meter import Meter, Numbers, merge, without_gauges

#: Bytes of one file.
MAX_FILE: Final = 8 * 1024 * 1024
#: Seconds after which a process that wrote nothing is gone, and its file is not kept.
GONE_SECONDS: Final = 10.0
#: Processes that are gone and still kept apart: one that only paused may come back.
_KEPT: Final = 64


class _Series(msgspec.Struct, array_like=True):
    labels: tuple[str, ...]
    values: tuple[float, ...]


class _File(msgspec.Struct):
    process: str
    #: Unix seconds.
    time: float
    numbers: dict[str, list[_Series]]


_decode: Final = msgspec.json.Decoder(_File).decode


class SnapshotWriter:
    """This process's file in a directory that is the gateway's own."""

    def __init__(self, directory: Path, meter: Meter, clock: Callable[[], float]) -> None:
        """Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._process = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._path = directory / f"{self._process}.json"
        self._meter = meter
        self._clock = clock

    def write(self) -> None:
        """Replace it. Raises OSError."""
        numbers = {
            name: [_Series(labels, values) for labels, values in series.items()]
            for name, series in self._meter.numbers().items()
        }
        raw = msgspec.json.encode(_File(self._process, self._clock(), numbers))
        fd, name = tempfile.mkstemp(dir=self._path.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(raw)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


class Snapshots:
    """What all processes of a directory wrote."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        """Files of an earlier run are none of ours: they are removed."""
        self._directory = directory
        self._clock = clock
        self._last: dict[str, Numbers] = {}
        self._retired: Numbers = {}
        for path in directory.glob("*.json"):
            path.unlink(missing_ok=True)

    def numbers(self) -> Numbers:
        """Merged; files that can't be read are passed over."""
        now = self._clock()
        alive: dict[str, Numbers] = {}
        for path in self._directory.glob("*.json"):
            found = _read(path)
            if found is None:
                continue
            numbers = {name: {one.labels: one.values for one in series} for name, series in found.numbers.items()}
            # By its own time: it was replaced within the last seconds, or nobody writes it any more.
            if now - found.time < GONE_SECONDS:
                alive[found.process] = numbers
            else:
                path.unlink(missing_ok=True)
            self._last[found.process] = merge([numbers])
        for process in [each for each in self._last if each not in alive][:-_KEPT]:
            self._retired = merge([self._retired, without_gauges(self._last.pop(process))])
        gone = [without_gauges(last) for process, last in self._last.items() if process not in alive]
        return merge([self._retired, *gone, *(self._last[process] for process in alive)])


def _read(path: Path) -> _File | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
        return _decode(raw) if len(raw) <= MAX_FILE else None
    return None
