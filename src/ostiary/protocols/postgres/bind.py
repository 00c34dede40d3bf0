"""The Bind message, decoded strictly (Message Formats, Bind)."""

import struct
from typing import NamedTuple

from ostiary.core import Parameter
from ostiary.wire.contract import ProtocolError

_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!i")


class Bound(NamedTuple):
    """A decoded Bind."""

    portal: str
    statement: str
    parameters: tuple[Parameter, ...]
    formats: tuple[int, ...]


def decode(frame: bytes) -> Bound:
    """Raises ProtocolError."""
    try:
        return _decode(frame)
    except (struct.error, ValueError):
        raise ProtocolError("a Bind message ends too early, or holds a name that is not UTF-8") from None


def _decode(frame: bytes) -> Bound:
    end = frame.index(b"\0", 5)
    after = frame.index(b"\0", end + 1)
    portal, statement = frame[5:end].decode(), frame[end + 1 : after].decode()
    formats, at = _shorts(frame, after + 1)
    (count,) = _SHORT.unpack_from(frame, at)
    at += 2
    if len(formats) not in (0, 1, count):
        raise ProtocolError("a Bind message has formats that do not fit its parameters")
    parameters = []
    for index in range(count):
        (size,) = _LONG.unpack_from(frame, at)
        at += 4
        if size < -1 or at + size > len(frame):
            raise ProtocolError("a Bind message ends inside a parameter")
        value = None if size == -1 else frame[at : at + size]
        at += max(size, 0)
        binary = bool(formats) and (formats[0] if len(formats) == 1 else formats[index]) == 1
        parameters.append(Parameter(value, binary))
    results, at = _shorts(frame, at)
    if at != len(frame):
        raise ProtocolError("a Bind message has bytes after its end")
    return Bound(portal, statement, tuple(parameters), results)


def _shorts(frame: bytes, at: int) -> tuple[tuple[int, ...], int]:
    (count,) = _SHORT.unpack_from(frame, at)
    if not count:
        return (), at + 2
    return struct.unpack_from(f"!{count}H", frame, at + 2), at + 2 + 2 * count
