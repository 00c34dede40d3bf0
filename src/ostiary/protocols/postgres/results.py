"""Backend messages that carry values, as the gate's vocabulary: columns, diagnostics."""

import re
import struct
from collections.abc import Sequence
from typing import Protocol

from ostiary.core import Column, ValueKind
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.resolve import Stored
from ostiary.protocols.postgres.values import codec_of
from ostiary.wire.contract import ProtocolError

_FIELD = struct.Struct("!ihihih")

#: Type oids (pg_type.dat) whose text *and* binary form is the text itself.
_TEXT = {18, 19, 25, 705, 1042, 1043}
_JSON = 114
_XML = 142
#: Types no detector can find anything in: bool, integers below 10 digits, dates, times, oid, uuid, void, floats.
INERT = {16, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 2278, 2950}
#: Fields the server words itself, with values quoted or in parentheses (PostgreSQL's Error Message Style Guide).
_WORDED = {"M", "D", "H"}
#: Fields that are code or data: call stacks, internal queries, what another session sent.
_FREE_TEXT = {"W", "q", "payload"}
#: Fields that hold nothing but codes, positions and the server's own source locations.
_CODES = {"S", "V", "C", "P", "p", "F", "L", "R", "channel"}
#: A channel that the client asked for is a code.
NOTIFICATION = ("channel", "payload")
#: Any other may be named by data.
UNASKED = ("another channel", "payload")
#: Source files (field F) that pass on what user code, a document or another server says.
_RAISED = re.compile(rb"pl_|plpy|plperl|pltcl|plv8|plr|xml|dblink|connection\.c|.*fdw")
_KEPT = 512
_FORMATS = (0, 1)
_STATUSES = b"ITE"
#: The server knows 18 fields of an error.
_MAX_FIELDS = 64


class Origins(Protocol):
    """What the columns of a result come from (statements.Judge)."""

    def origin(self, table_oid: int, attnum: int) -> tuple[str | None, tuple[str, ...]]:
        """(object name or None when computed or unknown, origins of a view's column)."""
        ...


class Descriptions:
    """RowDescription messages of one session, decoded once: equal bytes give the very same columns.

    `stamp` is whatever the origins depend on; when it changes everything is decoded anew.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._stamp: object = None
        self._known: dict[tuple[bytes, tuple[int, ...]], tuple[Column, ...]] = {}

    def columns(self, frame: bytes, stamp: object, formats: tuple[int, ...] = ()) -> tuple[Column, ...]:
        """Columns of a RowDescription; `formats` of a Bind replace its own. Raises ProtocolError."""
        if stamp is not self._stamp:
            self._known.clear()
            self._stamp = stamp
        found = self._known.get((frame, formats))
        if found is None:
            found = columns_of(frame, self._origins, formats)
            if len(self._known) >= _KEPT:
                self._known.clear()
            if len(frame) <= 1 << 16:
                self._known[frame, formats] = found
        return found


def columns_of(frame: bytes, origins: Origins, formats: tuple[int, ...] = ()) -> tuple[Column, ...]:
    """Columns of a RowDescription message. Raises ProtocolError."""
    if len(frame) < 7:
        raise ProtocolError("the target sent a RowDescription without its number of fields")
    count = int.from_bytes(frame[5:7], "big")
    if formats and len(formats) not in (1, count):
        raise ProtocolError("the client asked for formats of another number of columns than the result has")
    at = 7
    columns = []
    for index in range(count):
        end = frame.find(b"\0", at)
        if end < 0 or end + 1 + _FIELD.size > len(frame):
            raise ProtocolError("the target sent a RowDescription that ends inside a field")
        name = frame[at:end].decode("utf-8", "replace")
        table, attnum, type_oid, _size, modifier, binary = _FIELD.unpack_from(frame, end + 1)
        at = end + 1 + _FIELD.size
        if formats:
            binary = formats[0] if len(formats) == 1 else formats[index]
        obj, drawn = origins.origin(table & 0xFFFFFFFF, attnum) if table else (None, ())
        columns.append(_column(name, obj, drawn, type_oid & 0xFFFFFFFF, modifier, binary))
    if at != len(frame):
        raise ProtocolError("the target sent a RowDescription with bytes after its last field")
    return tuple(columns)


def parameter_types(frame: bytes) -> tuple[int, ...]:
    """Type oids of a ParameterDescription message. Raises ProtocolError."""
    count = int.from_bytes(frame[5:7], "big")
    if len(frame) != 7 + 4 * count:
        raise ProtocolError("the target sent a ParameterDescription of another length than its number of parameters")
    return struct.unpack_from(f"!{count}I", frame, 7)


def check_copy(frame: bytes) -> None:
    """A CopyInResponse or CopyOutResponse message is whole. Raises ProtocolError."""
    count = int.from_bytes(frame[6:8], "big")
    formats = (frame[5:6], *struct.unpack_from(f"!{count}H", frame, 8)) if len(frame) == 8 + 2 * count else ()
    if not formats or formats[0] not in (b"\0", b"\1") or any(each not in _FORMATS for each in formats[1:]):
        raise ProtocolError("the target sent a malformed answer to COPY")


def command_tag(frame: bytes) -> str:
    """The tag of a CommandComplete message; "" of an EmptyQueryResponse. Raises ProtocolError."""
    if frame[0] != ord("C"):
        return ""
    if frame.find(b"\0", 5) != len(frame) - 1:
        raise ProtocolError("the target sent a CommandComplete whose tag does not end, or not with the message")
    return frame[5:-1].decode("utf-8", "replace")


def transaction_status(frame: bytes) -> int:
    """The status in a ReadyForQuery message. Raises ProtocolError."""
    if len(frame) != 6 or frame[5] not in _STATUSES:
        raise ProtocolError("the target said ReadyForQuery without one of the statuses I, T, E")
    return frame[5]


def columns_of_copy(
    found: Sequence[Stored | None] | None, width: int, origins: Origins, *, binary: bool
) -> tuple[Column, ...]:
    """Columns of a COPY; those that are not known to be a relation's count as computed."""
    columns = []
    for index, stored in enumerate(found if found is not None and len(found) == width else [None] * width):
        if stored is None:
            kind = ValueKind.OPAQUE if binary else ValueKind.STRUCTURED
            columns.append(Column(f"column {index + 1}", None, kind, binary=binary))
            continue
        obj, drawn = origins.origin(stored.table, stored.attnum)
        columns.append(_column(stored.name, obj, drawn, stored.type, stored.modifier, int(binary)))
    return tuple(columns)


def _column(name: str, obj: str | None, drawn: tuple[str, ...], oid: int, modifier: int, binary: int) -> Column:
    kind, codec = _kind(oid, binary), codec_of(oid, modifier, binary)
    return Column(name, obj, kind, str(oid), oid in INERT, drawn, binary=bool(binary), codec=codec)


def _kind(oid: int, binary: int) -> ValueKind:
    if oid in _TEXT:
        return ValueKind.TEXT
    if oid in (_JSON, _XML):
        return ValueKind.STRUCTURED
    return ValueKind.OPAQUE if binary or oid in INERT else ValueKind.STRUCTURED


def fields_of(frame: bytes) -> tuple[tuple[str, ...], list[bytes | None]]:
    """Fields of an ErrorResponse or NoticeResponse; channel and payload of a NotificationResponse."""
    if frame[:1] == b"A":
        parts = frame[9:].split(b"\0", 3)
        if len(parts) != 3 or parts[2]:
            raise ProtocolError("the target sent a malformed NotificationResponse")
        return NOTIFICATION, [parts[0], parts[1]]
    body = frame[5:]
    if not body.endswith(b"\0"):
        raise ProtocolError("the target sent an error without an end")
    if body.count(b"\0") > _MAX_FIELDS:
        raise ProtocolError(f"the target sent an error of more than {_MAX_FIELDS} fields")
    *pieces, rest = body[:-1].split(b"\0")
    if rest:
        raise ProtocolError("the target sent an error with a field that does not end")
    if any(not piece for piece in pieces):
        raise ProtocolError("the target sent an error with an unnamed field")
    return tuple(chr(piece[0]) for piece in pieces), [piece[1:] for piece in pieces]


def field_names(frame: bytes) -> list[bytes]:
    """Of the columns in a RowDescription message that `columns_of` took."""
    at = 7
    found = []
    while at < len(frame):
        end = frame.index(b"\0", at)
        found.append(frame[at:end])
        at = end + 1 + _FIELD.size
    return found


def renamed(frame: bytes, names: Sequence[bytes]) -> bytes:
    """The RowDescription message with other names."""
    at = 7
    body = [frame[5:7]]
    for name in names:
        end = frame.index(b"\0", at)
        at = end + 1 + _FIELD.size
        body += (name, frame[end:at])
    return message(b"T", b"".join(body))


def encode_fields(frame: bytes, names: tuple[str, ...], cells: list[bytes | None]) -> bytes:
    """The message that `fields_of` took apart, with other cells."""
    if frame[:1] == b"A":
        channel, payload = (cell or b"" for cell in cells)
        body = frame[5:9] + channel + b"\0" + payload + b"\0"
    else:
        body = b"".join(n.encode("latin-1") + (c or b"") + b"\0" for n, c in zip(names, cells, strict=True)) + b"\0"
    return message(frame[:1], body)


def field_of(frame: bytes, code: str) -> str:
    """One field of an ErrorResponse: "C" is the SQLSTATE, "M" the message; empty when it is not there."""
    names, cells = fields_of(frame)
    for name, cell in zip(names, cells, strict=True):
        if name == code and cell is not None:
            return cell.decode("utf-8", "replace")
    return ""


def diagnostic_columns(names: tuple[str, ...], cells: list[bytes | None]) -> tuple[Column, ...]:
    """Columns for the fields of a diagnostic; codes and identifiers are inert.

    `RAISE` may put any text into any field but the codes. The server says which of its source files wrote the
    diagnostic, and no SQL can change that: where it was a language's or a foreign server's, or is not said, the fields
    are free text.
    """
    file = next((cell for name, cell in zip(names, cells, strict=True) if name == "F"), None)
    own = file is not None and _RAISED.match(file) is None
    return tuple(_field(name, own=own) for name in names)


def _field(name: str, *, own: bool) -> Column:
    if name in _CODES:
        return Column(name, None, ValueKind.TEXT, "text", inert=True)
    if not own or name in _FREE_TEXT:
        return Column(name, None, ValueKind.TEXT, "text")
    if name in _WORDED:
        return Column(name, None, ValueKind.MESSAGE, "text")
    return Column(name, None, ValueKind.TEXT, "text", inert=True)


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
