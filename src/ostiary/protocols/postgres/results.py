"""Backend messages that carry values, as the gate's vocabulary: columns, diagnostics."""

import struct
from typing import Protocol

from ostiary.core import Column, ValueKind
from ostiary.wire.contract import ProtocolError

_FIELD = struct.Struct("!ihihih")

#: Type oids (pg_type.dat) whose text *and* binary form is the text itself.
_TEXT = {18, 19, 25, 705, 1042, 1043}
#: Structured text in text format: json, xml, jsonb, and what else is not scalar.
_STRUCTURED = {114, 142, 3802}
#: Types no detector can find anything in: bool, integers below 10 digits, dates, times, oid, uuid, void, floats.
_INERT = {16, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 2278, 2950}


class Origins(Protocol):
    """What the columns of a result come from (statements.Judge)."""

    def origin(self, table_oid: int, attnum: int) -> tuple[str | None, tuple[str, ...]]:
        """(object name or None when computed or unknown, origins of a view's column)."""
        ...


def columns_of(frame: bytes, origins: Origins) -> tuple[Column, ...]:
    """Columns of a RowDescription message. Raises ProtocolError."""
    count = int.from_bytes(frame[5:7], "big", signed=True)
    at = 7
    columns = []
    for _ in range(count):
        end = frame.find(b"\0", at)
        if end < 0 or end + 1 + _FIELD.size > len(frame):
            raise ProtocolError("the target sent a RowDescription that ends inside a field")
        name = frame[at:end].decode("utf-8", "replace")
        table, attnum, type_oid, _size, _modifier, binary = _FIELD.unpack_from(frame, end + 1)
        at = end + 1 + _FIELD.size
        obj, drawn = origins.origin(table & 0xFFFFFFFF, attnum) if table else (None, ())
        oid = type_oid & 0xFFFFFFFF
        columns.append(Column(name, obj, _kind(oid, binary), str(oid), inert=oid in _INERT, origins=drawn))
    if at != len(frame):
        raise ProtocolError("the target sent a RowDescription with bytes after its last field")
    return tuple(columns)


def _kind(oid: int, binary: int) -> ValueKind:
    if oid in _TEXT:
        return ValueKind.TEXT
    if oid in _STRUCTURED and (not binary or oid != 3802):
        return ValueKind.STRUCTURED
    return ValueKind.OPAQUE if binary or oid in _INERT else ValueKind.STRUCTURED


def fields_of(frame: bytes) -> tuple[tuple[str, ...], list[bytes | None]]:
    """Fields of an ErrorResponse or NoticeResponse; channel and payload of a NotificationResponse."""
    if frame[:1] == b"A":
        parts = frame[9:].split(b"\0")
        if len(parts) != 3 or parts[2]:
            raise ProtocolError("the target sent a malformed NotificationResponse")
        return ("channel", "payload"), [parts[0], parts[1]]
    body = frame[5:]
    if not body.endswith(b"\0"):
        raise ProtocolError("the target sent an error without an end")
    pieces = body[:-1].split(b"\0")[:-1]
    if any(not piece for piece in pieces):
        raise ProtocolError("the target sent an error with an unnamed field")
    return tuple(chr(piece[0]) for piece in pieces), [piece[1:] for piece in pieces]


def diagnostic_columns(names: tuple[str, ...]) -> tuple[Column, ...]:
    """Columns for the fields of a diagnostic."""
    return tuple(Column(name, None, ValueKind.TEXT, "text") for name in names)


def message_of(frame: bytes, index: int, skip: int = 0) -> str:
    """The index-th NUL-terminated string of a message. Raises ProtocolError when it is not there or not UTF-8."""
    at = 5 + skip
    for _ in range(index):
        at = frame.find(b"\0", at) + 1
        if not at:
            break
    end = frame.find(b"\0", at) if at else -1
    if end < 0:
        raise ProtocolError("a message ends inside a string")
    try:
        return frame[at:end].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a message holds text that is not UTF-8; set client_encoding to UTF8") from None
