"""COPY … TO STDOUT as rows: text, CSV and binary, taken apart and put together again (COPY, File Formats).

The server sends one row a CopyData message; a message that holds anything else is a ProtocolError, since what can't be
taken apart can't be masked.
"""

import functools
import re
from collections.abc import Mapping

from ostiary.core import Column, Rows
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.results import columns_of_copy
from ostiary.protocols.postgres.shapes import Copied
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import CopyOptions
from ostiary.wire.contract import ProtocolError

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_UNESCAPES = {value: b"\\" + key for key, value in _ESCAPES.items()}
_TRAILER = b"\xff\xff"


class CopyRows:
    """A batch of rows that were taken apart already, column by column.

    Args:
        columns: cells as the values they stand for.
        raw: the same as they stood on the wire, for cells that nobody changes.
    """

    __slots__ = ("columns", "raw")

    def __init__(self, columns: list[list[bytes | None]], raw: list[list[bytes]]) -> None:
        self.columns = columns
        self.raw = raw

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, index: int) -> list[bytes | None]:
        """Cells of one column; None is SQL NULL."""
        return self.columns[index]

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "CopyRows":
        """The same rows with whole columns replaced."""
        return CopyRows([columns.get(index, cells) for index, cells in enumerate(self.columns)], self.raw)

    def haystack(self) -> bytes:
        """All cells in one piece."""
        return b"\n".join(cell for column in self.columns for cell in column if cell is not None)


class CopyOut:
    """One COPY's way out.

    Args:
        columns: the result's columns, in order.
        options: as the statement gave them.
    """

    def __init__(self, columns: tuple[Column, ...], options: CopyOptions) -> None:
        self.columns = columns
        self.clear = False
        self._options = options
        self._binary = options.binary
        self._header = True

    @classmethod
    def of(cls, copied: Copied, response: bytes, judge: Judge) -> "CopyOut":
        """Of the COPY that a CopyOutResponse message answers. Raises ProtocolError."""
        binary = response[5] == 1
        if copied.options is None:
            raise ProtocolError(copied.problem)
        if binary is not copied.options.binary:
            raise ProtocolError("the target's COPY comes in another format than was asked for")
        # Definitions that changed meanwhile make the columns another's.
        columns = copied.columns if judge.stamp is copied.stamp else None
        width = int.from_bytes(response[6:8], "big")
        return cls(columns_of_copy(columns, width, judge, binary=binary), copied.options)

    def batch(self, run: bytes) -> tuple[bytes, CopyRows | None, bytes]:
        """What goes through as it is, the rows, what follows them. Raises ProtocolError."""
        head = tail = b""
        rows: list[list[bytes | None]] = []
        raws: list[list[bytes]] = []
        at = 0
        while at < len(run):
            stop = at + 1 + int.from_bytes(run[at + 1 : at + 5], "big")
            body, frame = run[at + 5 : stop], run[at:stop]
            at = stop
            if self._header and (self._binary or self._options.header):
                self._header = False
                if not self._binary:
                    head += frame
                    continue
                size = _header_size(body)
                if size == len(body):
                    head += frame
                    continue
                head += message(b"d", body[:size])
                body = body[size:]
            if self._binary and body == _TRAILER:
                tail += frame
                continue
            raw, cells = self._row(body)
            if len(cells) != len(self.columns):
                raise ProtocolError(f"the target's COPY has {len(cells)} columns, announced were {len(self.columns)}")
            raws.append(raw)
            rows.append(cells)
        if not rows:
            return head, None, tail
        columns = [list(column) for column in zip(*rows, strict=True)]
        return head, CopyRows(columns, [list(column) for column in zip(*raws, strict=True)]), tail

    def _row(self, body: bytes) -> tuple[list[bytes], list[bytes | None]]:
        """Cells as they stand on the wire, and as the values they stand for."""
        if self._binary:
            cells = _binary_row(body)
            return [_binary_cell(cell) for cell in cells], cells
        line = body.removesuffix(b"\n")
        raw = self._csv_fields(line) if self._options.csv else self._text_fields(line)
        decode = self._csv_value if self._options.csv else self._text_value
        return raw, [decode(field) for field in raw]

    def encode(self, batch: CopyRows, rows: Rows) -> bytes:
        """CopyData messages, one a row: cells that were not changed as they came, byte for byte."""
        encode = self._binary_or_text
        columns = []
        for index, (before, raw) in enumerate(zip(batch.columns, batch.raw, strict=True)):
            after = rows.column(index)
            if after is before:
                columns.append(raw)
            else:
                told = zip(raw, before, after, strict=True)
                columns.append([r if new is old else encode(new) for r, old, new in told])
        if self._binary:
            lead = len(columns).to_bytes(2, "big")
            return b"".join(message(b"d", lead + b"".join(cells)) for cells in zip(*columns, strict=True))
        join = self._options.delimiter.join
        return b"".join(message(b"d", join(cells) + b"\n") for cells in zip(*columns, strict=True))

    def _binary_or_text(self, cell: bytes | None) -> bytes:
        if self._binary:
            return _binary_cell(cell)
        if cell is None:
            return self._options.null
        return self._csv_cell(cell) if self._options.csv else self._text_cell(cell)

    def _text_cell(self, cell: bytes) -> bytes:
        out = cell.replace(b"\\", b"\\\\")
        for raw, escaped in _UNESCAPES.items():
            out = out.replace(raw, escaped)
        if self._options.delimiter != b"\t":
            out = out.replace(self._options.delimiter, b"\\" + self._options.delimiter)
        return out

    def _csv_cell(self, cell: bytes) -> bytes:
        """Always quoted: a reader takes it as the same text whatever stands in it."""
        quote, escape = self._options.quote, self._options.escape
        if escape != quote:
            cell = cell.replace(escape, escape + escape)
        return quote + cell.replace(quote, escape + quote) + quote

    def _text_fields(self, line: bytes) -> list[bytes]:
        if b"\n" in line:
            raise ProtocolError("the target sent COPY text with more than one row in a message")
        return _split(line, self._options.delimiter)

    def _text_value(self, field: bytes) -> bytes | None:
        return None if field == self._options.null else _unescape(field)

    def _csv_fields(self, line: bytes) -> list[bytes]:
        """Fields with their quotes."""
        delimiter, quote, escape = self._options.delimiter, self._options.quote, self._options.escape
        fields = []
        at = start = 0
        while True:
            if line[at : at + 1] == quote:
                at = _closing(line, at + 1, quote, escape)
            else:
                stop = line.find(delimiter, at)
                at = len(line) if stop < 0 else stop
                if quote in line[start:at] or b"\n" in line[start:at]:
                    raise ProtocolError("the target sent a CSV row with a stray quote or line end")
            fields.append(line[start:at])
            if at >= len(line):
                return fields
            if line[at : at + 1] != delimiter:
                raise ProtocolError("the target sent a CSV row with text behind a closing quote")
            at = start = at + 1

    def _csv_value(self, field: bytes) -> bytes | None:
        quote, escape = self._options.quote, self._options.escape
        if not field.startswith(quote):
            return None if field == self._options.null else field
        inner = field[1:-1]
        if escape == quote:
            return inner.replace(quote + quote, quote)
        return _escaped(escape, quote).sub(rb"\1", inner)


@functools.lru_cache(maxsize=64)
def _escaped(escape: bytes, quote: bytes) -> "re.Pattern[bytes]":
    return re.compile(re.escape(escape) + b"([" + re.escape(escape + quote) + b"])", re.DOTALL)


def _closing(line: bytes, at: int, quote: bytes, escape: bytes) -> int:
    """Where a quoted field ends: behind its closing quote. Raises ProtocolError."""
    while at < len(line):
        byte, following = line[at : at + 1], line[at + 1 : at + 2]
        if byte == escape and following and following in (quote, escape):
            at += 2
        elif byte == quote:
            return at + 1
        else:
            at += 1
    raise ProtocolError("the target sent a CSV row that ends inside quotes")


def _split(line: bytes, delimiter: bytes) -> list[bytes]:
    if b"\\" not in line:
        return line.split(delimiter)
    fields = []
    start = at = 0
    while at < len(line):
        byte = line[at : at + 1]
        if byte == b"\\":
            at += 2
        elif byte == delimiter:
            fields.append(line[start:at])
            at += 1
            start = at
        else:
            at += 1
    fields.append(line[start:])
    return fields


def _unescape(field: bytes) -> bytes:
    if b"\\" not in field:
        return field
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


def _binary_row(body: bytes) -> list[bytes | None]:
    cells: list[bytes | None] = []
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        if at + 4 > len(body) or size < -1 or at + 4 + max(size, 0) > len(body):
            raise ProtocolError("the target sent a binary COPY row that ends inside a column")
        at += 4
        cells.append(None if size < 0 else body[at : at + size])
        at += max(size, 0)
    if at != len(body):
        raise ProtocolError("the target sent a binary COPY row with bytes after its last column")
    return cells


def _binary_cell(cell: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if cell is None else len(cell).to_bytes(4, "big") + cell


def _header_size(body: bytes) -> int:
    if not body.startswith(_SIGNATURE) or len(body) < 19:
        raise ProtocolError("the target sent binary COPY without its signature")
    size = 19 + int.from_bytes(body[15:19], "big")
    if size > len(body):
        raise ProtocolError("the target sent a binary COPY header that does not fit its message")
    return size
