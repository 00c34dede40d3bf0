"""Batches of COPY rows behind `core.Rows` (COPY, File Formats).

As `rows`: the run of CopyData messages, one row each, stays the bytes it came as. A cell that is not replaced goes out
as it came, byte for byte. Compiled with the C types of `copied.pxd`; `raw` is then a pointer.
"""

import functools
import re
from collections.abc import Mapping
from typing import cast

from ostiary.sql import CopyOptions
from ostiary.wire.contract import ProtocolError

_TEXT = 0
_CSV = 1
_BINARY = 2
_BACKSLASH = 0x5C
_NEWLINE = 0x0A
_NULL = b"\xff\xff\xff\xff"
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_UNESCAPES = {value: b"\\" + key for key, value in _ESCAPES.items()}
_SPECIAL = (b"\\", *_UNESCAPES)
#: With these as delimiter, quote and escape nothing a detector looks for is broken up on the wire.
_HARMLESS = frozenset(b'\t,;:"')


class Form:
    """How the rows of one COPY are written."""

    __slots__ = ("asked", "delimiter", "escape", "kind", "marks", "null", "quote", "verbatim", "width")

    def __init__(self, options: CopyOptions, width: int) -> None:
        self.kind = _BINARY if options.binary else _CSV if options.csv else _TEXT
        self.width = width
        #: Columns that batches were asked for: the next will be, and one walk through its rows cuts them all.
        self.asked: set[int] = set()
        self.delimiter = options.delimiter
        self.null = options.null
        self.quote = options.quote
        self.escape = options.escape
        ends = self.delimiter + (self.quote if options.csv else b"\\") + b"\n"
        #: One byte a byte: not zero where an unquoted field may not simply go on.
        self.marks = bytes(byte in ends for byte in range(256))
        special = self.delimiter + (self.quote + self.escape if options.csv else b"")
        #: Whatever a detector would find in a cell stands in the run as it is.
        self.verbatim = options.binary or _HARMLESS.issuperset(special)

    def decoded(self, field: bytes) -> bytes | None:
        """The value that a field on the wire stands for; None is SQL NULL."""
        if self.kind == _BINARY:
            return None if field == _NULL else field[4:]
        if self.kind == _CSV:
            return self._csv_value(field)
        if field == self.null:
            return None
        return _unescape(field) if b"\\" in field else field

    def encoded(self, cell: bytes | None) -> bytes:
        """A field for the wire."""
        if self.kind == _BINARY:
            return _NULL if cell is None else len(cell).to_bytes(4, "big") + cell
        if cell is None:
            return self.null
        if self.kind == _CSV:
            return self._csv_field(cell)
        field = cell.replace(b"\\", b"\\\\")
        for value, escaped in _UNESCAPES.items():
            field = field.replace(value, escaped)
        return field if self.delimiter == b"\t" else field.replace(self.delimiter, b"\\" + self.delimiter)

    def _csv_value(self, field: bytes) -> bytes | None:
        quote, escape = self.quote, self.escape
        if not field.startswith(quote):
            return None if field == self.null else field
        inner = field[1:-1]
        if escape == quote:
            return inner.replace(quote + quote, quote)
        return _escaped(escape, quote).sub(rb"\1", inner)

    def _csv_field(self, cell: bytes) -> bytes:
        """Always quoted: a reader takes it as the same text whatever stands in it."""
        quote, escape = self.quote, self.escape
        if escape != quote:
            cell = cell.replace(escape, escape + escape)
        return quote + cell.replace(quote, escape + quote) + quote


class CopyRows:
    """A run of whole CopyData messages, one row each, without header and trailer.

    Args:
        run: the messages, type bytes included.
        count: how many they are.
        form: how their cells are written.
    """

    __slots__ = ("_count", "_cut", "_form", "_run")

    def __init__(self, run: bytes, count: int, form: Form) -> None:
        self._run = run
        self._count = count
        self._form = form
        #: Columns that were asked for: fields as they stand on the wire, and the cells they stand for, which may be the
        #: very list.
        self._cut: dict[int, tuple[list[bytes], list[bytes | None]]] = {}

    def __len__(self) -> int:
        return self._count

    def column(self, index: int) -> list[bytes | None]:
        """Cells of one column; None is SQL NULL. Raises ProtocolError for a malformed row."""
        return self._both(index)[1]

    def joined(self, index: int) -> bytes:
        """See `core.Rows`."""
        fields, cells = self._both(index)
        return b"\0".join(fields if cells is fields else [cell for cell in cells if cell is not None])

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "CopyRows":
        """A new run with whole columns replaced; a cell that is the same keeps its bytes. Raises ProtocolError."""
        form = self._form
        fields = {index: self._written(*self._both(index), cells) for index, cells in columns.items()}
        run = splice(self._run, form.width, fields, form.kind, form.marks, form.delimiter, form.quote, form.escape)
        return CopyRows(run, self._count, form)

    def haystack(self) -> bytes:
        """The run where escapes can't hide anything in it, else all cells in one piece."""
        if self._form.verbatim:
            return self._run
        return b"\n".join(self.joined(index) for index in range(self._form.width))

    def encode(self) -> bytes:
        """The messages, ready for the client."""
        return self._run

    def _both(self, index: int) -> tuple[list[bytes], list[bytes | None]]:
        cut = self._cut.get(index)
        if cut is None:
            form = self._form
            form.asked.add(index)
            wanted = tuple(form.asked.difference(self._cut))
            found = pick(self._run, form.width, wanted, form.kind, form.marks, form.delimiter, form.quote, form.escape)
            for each, fields in zip(wanted, found, strict=True):
                self._cut[each] = fields, self._decoded(fields)
            cut = self._cut[index]
        return cut

    def _written(self, fields: list[bytes], old: list[bytes | None], cells: list[bytes | None]) -> list[bytes]:
        form = self._form
        null = form.encoded(None)
        if form.kind == _TEXT:
            told = b"".join([cell for cell in cells if cell is not None])
            if form.delimiter not in told and not any(special in told for special in _SPECIAL) and null not in cells:
                # Nothing needs an escape.
                return [
                    field if cell is was else null if cell is None else cell
                    for field, was, cell in zip(fields, old, cells, strict=True)
                ]
        return [
            field if cell is was else form.encoded(cell) for field, was, cell in zip(fields, old, cells, strict=True)
        ]

    def _decoded(self, fields: list[bytes]) -> list[bytes | None]:
        form = self._form
        mark = b"\\" if form.kind == _TEXT else form.quote
        if form.kind == _BINARY or mark in self._run:
            return [form.decoded(field) for field in fields]
        # Nothing is escaped or quoted: fields are what they stand for.
        null = form.null
        if mark in null:
            return cast("list[bytes | None]", fields)
        return [None if field == null else field for field in fields]


@functools.lru_cache(maxsize=64)
def _escaped(escape: bytes, quote: bytes) -> "re.Pattern[bytes]":
    return re.compile(re.escape(escape) + b"([" + re.escape(escape + quote) + b"])", re.DOTALL)


def _unescape(field: bytes) -> bytes:
    """A field of the text format as the value it stands for."""
    pieces = field.split(b"\\")
    out = [pieces[0]]
    at = 1
    while at < len(pieces):
        piece = pieces[at]
        if not piece:
            # Two backslashes: one is meant, and what follows is plain.
            out.append(b"\\" + (pieces[at + 1] if at + 1 < len(pieces) else b""))
            at += 2
            continue
        out.append(_ESCAPES.get(piece[:1], piece[:1]) + piece[1:])
        at += 1
    return b"".join(out)


def pick(
    run: bytes,
    width: int,
    wanted: tuple[int, ...],
    kind: int,
    marks: bytes,
    delimiter: bytes,
    quote: bytes,
    escape: bytes,
) -> list[list[bytes]]:
    """Fields of some columns as they stand on the wire; every row is checked whole. Raises ProtocolError."""
    found: list[list[bytes]] = [[] for _ in wanted]
    cut: list[list[bytes] | None] = [None] * width
    for index, column in enumerate(wanted):
        cut[column] = found[index]
    raw = run
    special = marks
    comma, mark, shield = delimiter[0], quote[0], escape[0]
    at = 0
    end = len(run)
    while at < end:
        stop = _message_end(raw, at, end)
        at, body = _body(raw, at, stop, kind, width)
        for column in range(width):
            following = _field_end(raw, at, body, kind, special, comma, mark, shield)
            fields = cut[column]
            if fields is not None:
                fields.append(raw[at:following])
            at = _next(raw, following, body, kind, comma, width - column)
        if at != body:
            raise ProtocolError("the target sent a COPY row with more in it than its columns")
        at = stop
    return found


def splice(
    run: bytes,
    width: int,
    columns: dict[int, list[bytes]],
    kind: int,
    marks: bytes,
    delimiter: bytes,
    quote: bytes,
    escape: bytes,
) -> bytes:
    """The run with whole columns of fields replaced. Raises ProtocolError."""
    out: list[bytes] = []
    headers: dict[int, bytes] = {}
    replaced = [columns.get(column) for column in range(width)]
    raw = run
    special = marks
    comma, mark, shield = delimiter[0], quote[0], escape[0]
    at = 0
    row = 0
    end = len(run)
    while at < end:
        stop = _message_end(raw, at, end)
        kept = at + 5
        begin = len(out)
        out.append(b"")
        length = 4
        at, body = _body(raw, at, stop, kind, width)
        for column in range(width):
            following = _field_end(raw, at, body, kind, special, comma, mark, shield)
            new = replaced[column]
            if new is not None:
                if kept < at:
                    out.append(raw[kept:at])
                    length += at - kept
                field = new[row]
                out.append(field)
                length += len(field)
                kept = following
            at = _next(raw, following, body, kind, comma, width - column)
        if at != body:
            raise ProtocolError("the target sent a COPY row with more in it than its columns")
        if kept < stop:
            out.append(raw[kept:stop])
            length += stop - kept
        header = headers.get(length)
        if header is None:
            header = headers[length] = b"d" + length.to_bytes(4, "big")
        out[begin] = header
        at = stop
        row += 1
    return b"".join(out)


def last_message(run: bytes) -> int:
    """Where the last message of a run begins. Raises ProtocolError."""
    raw = run
    at = last = 0
    end = len(run)
    while at < end:
        last = at
        at = _message_end(raw, at, end)
    return last


def _message_end(raw: bytes, at: int, end: int) -> int:
    if at + 5 > end:
        raise ProtocolError("the target sent a COPY message that ends too early")
    size = _long(raw, at + 1)
    if size < 4 or at + 1 + size > end:
        raise ProtocolError("the target sent a COPY message of another length than it has")
    return at + 1 + size


def _body(raw: bytes, at: int, stop: int, kind: int, width: int) -> tuple[int, int]:
    """Where the row's first field begins, and where its last one ends."""
    at += 5
    if kind != _BINARY:
        if at == stop or raw[stop - 1] != _NEWLINE:
            raise ProtocolError("the target sent a COPY row without a line end")
        return at, stop - 1
    if at + 2 > stop or raw[at] * 256 + raw[at + 1] != width:
        raise ProtocolError("the target sent a COPY row of another number of columns than it announced")
    return at + 2, stop


def _field_end(
    raw: bytes, at: int, stop: int, kind: int, special: bytes, delimiter: int, quote: int, escape: int
) -> int:
    if kind == _BINARY:
        return _binary_end(raw, at, stop)
    if kind == _CSV and at < stop and raw[at] == quote:
        return _closing(raw, at + 1, stop, quote, escape)
    while True:
        while at < stop and not special[raw[at]]:
            at += 1
        if at >= stop or raw[at] == delimiter:
            return at
        if kind == _CSV:
            raise ProtocolError("the target sent a CSV row with a stray quote or line end")
        if raw[at] == _BACKSLASH:
            at += 1
            if at >= stop:
                raise ProtocolError("the target sent COPY text that ends inside an escape")
        if raw[at] == _NEWLINE:
            raise ProtocolError("the target sent COPY text with more than one row in a message")
        at += 1


def _closing(raw: bytes, at: int, stop: int, quote: int, escape: int) -> int:
    """Where a quoted field ends: behind its closing quote."""
    while at < stop:
        if raw[at] == escape and at + 1 < stop and (raw[at + 1] == quote or raw[at + 1] == escape):
            at += 2
        elif raw[at] == quote:
            return at + 1
        else:
            at += 1
    raise ProtocolError("the target sent a CSV row that ends inside quotes")


def _binary_end(raw: bytes, at: int, stop: int) -> int:
    if at + 4 > stop:
        raise ProtocolError("the target sent a binary COPY row that ends inside a column")
    size = _long(raw, at)
    if size == 0xFFFFFFFF:
        return at + 4
    if at + 4 + size > stop:
        raise ProtocolError("the target sent a binary COPY row with a column that is longer than the row")
    return at + 4 + size


def _next(raw: bytes, at: int, stop: int, kind: int, delimiter: int, left: int) -> int:
    """Where the next of `left - 1` more fields begins."""
    if kind == _BINARY or left == 1:
        return at
    if at >= stop or raw[at] != delimiter:
        raise ProtocolError("the target sent a COPY row of another number of columns than it announced")
    return at + 1


def _long(raw: bytes, at: int) -> int:
    value = raw[at]
    value = (value << 8) | raw[at + 1]
    value = (value << 8) | raw[at + 2]
    return (value << 8) | raw[at + 3]
