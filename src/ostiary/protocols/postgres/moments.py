"""Dates and timestamps for `values`.

Text format is read as ISO writes it: what another DateStyle wrote does not decode. Timestamps with time zone are
written in UTC. A moment is an int, or an infinity; never annotated as a float, which would make floats of all of them
where this is compiled, and lose microseconds.
"""

import math
import re
import struct
from functools import lru_cache
from typing import Any, Final

from ostiary.core import Datum, ValueCodec
from ostiary.core.calendar import date_of, days_of

#: Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
_EPOCH: Final = 10957
_DAY: Final = 86_400_000_000
#: 4714-11-24 BC to 5874897-12-31, and to 294276-12-31: the ranges of date and timestamp.
_FIRST: Final = -2440588
_LAST_DATE: Final = _EPOCH + 2145031948
_LAST_TIMESTAMP: Final = (_EPOCH + 106751983) * _DAY - 1
_DATE = re.compile(rb"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIMESTAMP = re.compile(
    rb"(\d{4,7}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d(?::\d\d)?(?::\d\d)?))?( BC)?"
)
_INFINITE: dict[bytes, Any] = {b"infinity": math.inf, b"-infinity": -math.inf}
_NAMES: dict[Any, bytes] = {value: name for name, value in _INFINITE.items()}
_TWO = [b"%02d" % number for number in range(100)]


@lru_cache(maxsize=8192)
def _days(date: bytes) -> int:
    found = _DATE.fullmatch(date)
    if found is None:
        raise ValueError("not an ISO date")
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if found[4] is not None:
        year = 1 - year
    days = days_of(year, month, day)
    if date_of(days) != (year, month, day):
        raise ValueError("not a date")
    return days


@lru_cache(maxsize=8192)
def _date(days: int) -> bytes:
    if not _FIRST <= days <= _LAST_DATE:
        raise ValueError("out of range")
    year, month, day = date_of(days)
    return b"%04d-%02d-%02d" % (year, month, day) if year > 0 else b"%04d-%02d-%02d BC" % (1 - year, month, day)


def _date_text(cell: bytes) -> Any:
    return _INFINITE[cell] if cell in _INFINITE else _days(cell)


def _date_to_text(value: Any) -> bytes:
    name = _NAMES.get(value)
    return _date(value) if name is None else name


def _timestamp_text(cell: bytes) -> Any:
    found = _TIMESTAMP.fullmatch(cell)
    if found is None:
        if cell in _INFINITE:
            return _INFINITE[cell]
        raise ValueError("not an ISO timestamp")
    date, of_day, fraction, sign, offset, before = found.groups()
    seconds = _seconds(of_day)
    if sign is not None:
        seconds -= _seconds(offset) if sign == b"+" else -_seconds(offset)
    micro = int(fraction.ljust(6, b"0")) if fraction is not None else 0
    return (_days(date if before is None else date + before) * 86400 + seconds) * 1_000_000 + micro


@lru_cache(maxsize=8192)
def _seconds(time: bytes) -> int:
    """`HH`, `HH:MM` or `HH:MM:SS`."""
    parts = [int(part) for part in time.split(b":")]
    return sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def _timestamp_to_text(value: Any) -> bytes:
    return _written(value, b"")


def _zoned_to_text(value: Any) -> bytes:
    return _written(value, b"+00")


def _written(value: Any, zone: bytes) -> bytes:
    name = _NAMES.get(value)
    if name is not None:
        return name
    micros: int = value
    if micros > _LAST_TIMESTAMP:
        raise ValueError("out of range")
    seconds, fraction = divmod(micros, 1_000_000)
    days, of_day = divmod(seconds, 86400)
    date, _, before = _date(days).partition(b" ")
    minutes, second = divmod(of_day, 60)
    hour, minute = divmod(minutes, 60)
    shown = date + b" " + _TWO[hour] + b":" + _TWO[minute] + b":" + _TWO[second]
    if fraction:
        shown += b"." + str(fraction).rjust(6, "0").rstrip("0").encode("ascii")
    return shown + zone + b" BC" if before else shown + zone


def _counted(datum: Datum, form: str, unit: int, last: int) -> ValueCodec:
    """Days or microseconds since 2000; the ends of the range stand for the infinities."""
    packer = struct.Struct(form)
    end = (1 << 8 * packer.size - 1) - 1
    epoch, first = _EPOCH * unit, _FIRST * unit

    def decode(cell: bytes) -> Any:
        if len(cell) != packer.size:
            raise ValueError("of another size than its type")
        value: int = packer.unpack(cell)[0]
        return math.inf if value == end else -math.inf if value == -end - 1 else value + epoch

    def encode(value: Any) -> bytes:
        if value in _NAMES:
            return packer.pack(end if value > 0 else -end - 1)
        if not first <= value <= last:
            raise ValueError("out of range")
        return packer.pack(value - epoch)

    return ValueCodec(datum, decode, encode)


DATE = ValueCodec(Datum.DATE, _date_text, _date_to_text)
TIMESTAMP = ValueCodec(Datum.TIMESTAMP, _timestamp_text, _timestamp_to_text)
TIMESTAMPTZ = ValueCodec(Datum.TIMESTAMP, _timestamp_text, _zoned_to_text)
DATE_BINARY = _counted(Datum.DATE, "!i", 1, _LAST_DATE)
TIMESTAMP_BINARY = _counted(Datum.TIMESTAMP, "!q", _DAY, _LAST_TIMESTAMP)
