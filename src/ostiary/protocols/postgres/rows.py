"""Batches of rows behind `core.Rows`.

A run of DataRow messages stays the bytes it came as; columns are cut out of it only when a masker asks for them, and a
replaced column is spliced back in one pass. The functions below are compiled with the C types of `rows.pxd`, where
there is a compiler: `raw` is then a pointer, so every offset is checked before it is read.
"""

from collections.abc import Mapping

from ostiary.wire.contract import ProtocolError

_NULL = b"\xff\xff\xff\xff"
#: Lengths as they stand on the wire.
_LENGTHS = [size.to_bytes(4, "big") for size in range(1024)]


class DataRows:
    """A run of whole DataRow messages.

    Args:
        run: the messages, type bytes included.
        count: how many they are.
        width: number of columns the RowDescription announced; a row of another width is a ProtocolError.
    """

    __slots__ = ("_count", "_run", "_width")

    def __init__(self, run: bytes, count: int, width: int) -> None:
        self._run = run
        self._count = count
        self._width = width

    def __len__(self) -> int:
        return self._count

    def column(self, index: int) -> list[bytes | None]:
        """Cells of one column; None is SQL NULL. Raises ProtocolError for a malformed row."""
        return pick(self._run, self._width, index)

    def joined(self, index: int) -> bytes:
        """See `core.Rows`."""
        return b"\0".join([cell for cell in pick(self._run, self._width, index) if cell is not None])

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "DataRows":
        """A new run, re-encoded with whole columns replaced. Raises ProtocolError for a malformed row."""
        return DataRows(splice(self._run, self._width, dict(columns)), self._count, self._width)

    def haystack(self) -> bytes:
        """The run: textual cells stand in it verbatim."""
        return self._run

    def encode(self) -> bytes:
        """The messages, ready for the client."""
        return self._run


def pick(run: bytes, width: int, index: int) -> list[bytes | None]:
    """One column's cells of a run of DataRow messages; every row is checked whole. Raises ProtocolError."""
    cells: list[bytes | None] = []
    raw = run
    at = 0
    end = len(run)
    while at < end:
        stop = _row_end(raw, at, end, width)
        at += 7
        for column in range(width):
            size = _size(raw, at, stop)
            at += 4
            if column == index:
                cells.append(None if size < 0 else raw[at : at + size])
            if size > 0:
                at += size
        if at != stop:
            raise ProtocolError("the target sent a DataRow with bytes after its last column")
    return cells


def splice(run: bytes, width: int, columns: dict[int, list[bytes | None]]) -> bytes:
    """The run with whole columns replaced. Raises ProtocolError."""
    out: list[bytes] = []
    headers: dict[int, bytes] = {}
    replaced = [columns.get(column) for column in range(width)]
    raw = run
    at = 0
    row = 0
    end = len(run)
    while at < end:
        stop = _row_end(raw, at, end, width)
        at += 7
        kept = at
        begin = len(out)
        out.append(b"")
        length = 6
        for column in range(width):
            size = _size(raw, at, stop)
            following = at + 4 + (size if size > 0 else 0)
            new = replaced[column]
            if new is not None:
                if kept < at:
                    out.append(raw[kept:at])
                    length += at - kept
                cell = new[row]
                if cell is None:
                    out.append(_NULL)
                    length += 4
                else:
                    size = len(cell)
                    out.append(_LENGTHS[size] if size < 1024 else size.to_bytes(4, "big"))
                    out.append(cell)
                    length += 4 + size
                kept = following
            at = following
        if at != stop:
            raise ProtocolError("the target sent a DataRow with bytes after its last column")
        if kept < stop:
            out.append(raw[kept:stop])
            length += stop - kept
        header = headers.get(length)
        if header is None:
            header = headers[length] = b"D" + length.to_bytes(4, "big") + width.to_bytes(2, "big")
        out[begin] = header
        row += 1
    return b"".join(out)


def _row_end(raw: bytes, at: int, end: int, width: int) -> int:
    if at + 7 > end:
        raise ProtocolError("the target sent a DataRow that ends before its columns")
    stop = _long(raw, at + 1)
    stop += at + 1
    if stop < at + 7 or stop > end or raw[at + 5] * 256 + raw[at + 6] != width:
        raise ProtocolError("the target sent a DataRow of another width than its RowDescription")
    return stop


def _size(raw: bytes, at: int, stop: int) -> int:
    """Length of the cell at `at`; -1 is SQL NULL."""
    if at + 4 > stop:
        raise ProtocolError("the target sent a DataRow that ends inside a column")
    size = _long(raw, at)
    if size == 0xFFFFFFFF:
        return -1
    if at + 4 + size > stop:
        raise ProtocolError("the target sent a DataRow with a column that is longer than the row")
    return size


def _long(raw: bytes, at: int) -> int:
    value = raw[at]
    value = (value << 8) | raw[at + 1]
    value = (value << 8) | raw[at + 2]
    return (value << 8) | raw[at + 3]


def encode_row(cells: list[bytes | None]) -> bytes:
    """One DataRow message (PostgreSQL protocol, Message Formats)."""
    body = b"".join(_NULL if c is None else len(c).to_bytes(4, "big") + c for c in cells)
    return b"D" + (len(body) + 6).to_bytes(4, "big") + len(cells).to_bytes(2, "big") + body


class TextFields:
    """One row of cells that are apart already: fields of an error, a notice, a notification; a function's result."""

    __slots__ = ("cells",)

    def __init__(self, cells: list[bytes | None]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return 1

    def column(self, index: int) -> list[bytes | None]:
        """The one cell of a field."""
        return [self.cells[index]]

    def joined(self, index: int) -> bytes:
        """See `core.Rows`."""
        return self.cells[index] or b""

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "TextFields":
        """The same fields with some replaced."""
        return TextFields([columns[i][0] if i in columns else cell for i, cell in enumerate(self.cells)])

    def haystack(self) -> bytes:
        """Fields in one piece."""
        return b"\n".join(cell for cell in self.cells if cell is not None)
