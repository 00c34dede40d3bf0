"""A batch of PostgreSQL DataRow messages behind `core.Rows`: columns are decoded only when someone asks for them."""

import struct
from collections.abc import Mapping

from ostiary.wire.contract import ProtocolError

_INT32 = struct.Struct("!i")
_HEADER = struct.Struct("!cih")
_NULL = b"\xff\xff\xff\xff"


class DataRows:
    """Whole DataRow frames (type byte, length, cells), as they came or as they were rebuilt.

    Args:
        frames: one `bytes` per row, type byte included.
        width: number of columns the RowDescription announced; a row of another width is a ProtocolError.
    """

    __slots__ = ("_cells", "_frames", "_width")

    def __init__(self, frames: list[bytes], width: int) -> None:
        self._frames = frames
        self._width = width
        self._cells: list[list[bytes | None]] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def _rows(self) -> list[list[bytes | None]]:
        if self._cells is None:
            self._cells = [_decode(frame, self._width) for frame in self._frames]
        return self._cells

    def column(self, index: int) -> list[bytes | None]:
        """Cells of one column; None is SQL NULL. Raises ProtocolError for a malformed row."""
        return [row[index] for row in self._rows()]

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "DataRows":
        """A new batch, re-encoded with whole columns replaced."""
        frames = []
        for number, row in enumerate(self._rows()):
            cells = list(row)
            for index, values in columns.items():
                cells[index] = values[number]
            frames.append(encode_row(cells))
        return DataRows(frames, self._width)

    def haystack(self) -> bytes:
        """All frames in one piece: textual cells stand in it verbatim."""
        return b"".join(self._frames)

    def encode(self) -> bytes:
        """The messages, ready for the client."""
        return b"".join(self._frames)


def encode_row(cells: list[bytes | None]) -> bytes:
    """One DataRow message (PostgreSQL protocol, Message Formats)."""
    pieces: list[bytes] = []
    for cell in cells:
        if cell is None:
            pieces.append(_NULL)
        else:
            pieces += (_INT32.pack(len(cell)), cell)
    body = b"".join(pieces)
    return _HEADER.pack(b"D", len(body) + 6, len(cells)) + body


def _decode(frame: bytes, width: int) -> list[bytes | None]:
    end = len(frame)
    if end < 7 or int.from_bytes(frame[5:7], "big") != width:
        raise ProtocolError("the target sent a DataRow of another width than its RowDescription")
    cells: list[bytes | None] = []
    at = 7
    unpack = _INT32.unpack_from
    for _ in range(width):
        if at + 4 > end:
            raise ProtocolError("the target sent a DataRow that ends inside a column")
        (size,) = unpack(frame, at)
        at += 4
        if size == -1:
            cells.append(None)
        elif size < 0 or at + size > end:
            raise ProtocolError("the target sent a DataRow with a column that is longer than the row")
        else:
            cells.append(frame[at : at + size])
            at += size
    if at != end:
        raise ProtocolError("the target sent a DataRow with bytes after its last column")
    return cells


class TextFields:
    """One row of text cells: the fields of an error, a notice or a notification."""

    __slots__ = ("cells",)

    def __init__(self, cells: list[bytes | None]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return 1

    def column(self, index: int) -> list[bytes | None]:
        """The one cell of a field."""
        return [self.cells[index]]

    def replaced(self, columns: Mapping[int, list[bytes | None]]) -> "TextFields":
        """The same fields with some replaced."""
        return TextFields([columns[i][0] if i in columns else cell for i, cell in enumerate(self.cells)])

    def haystack(self) -> bytes:
        """Fields in one piece."""
        return b"\n".join(cell for cell in self.cells if cell is not None)
