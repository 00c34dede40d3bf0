"""COPY … TO STDOUT on its way to the client: header, rows, trailer (COPY, File Formats).

The server sends one row a CopyData message; a message that holds anything else is a ProtocolError, since what can't be
taken apart can't be masked.
"""

from ostiary.core import Column
from ostiary.protocols.postgres.copied import CopyRows, Form, last_message
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.results import columns_of_copy
from ostiary.protocols.postgres.shapes import Copied
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import CopyOptions
from ostiary.wire.contract import ProtocolError

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_TRAILER = message(b"d", b"\xff\xff")


class CopyOut:
    """One COPY's way out.

    Args:
        columns: the result's columns, in order.
        options: as the statement gave them.
    """

    def __init__(self, columns: tuple[Column, ...], options: CopyOptions) -> None:
        self.columns = columns
        self.clear = False
        self._form = Form(options, len(columns))
        self._binary = options.binary
        self._header = options.binary or options.header

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

    def batch(self, run: bytes, count: int) -> tuple[bytes, CopyRows | None, bytes]:
        """What goes through as it is, the rows, what follows them. Raises ProtocolError."""
        head = tail = b""
        if self._header:
            self._header = False
            stop = 1 + int.from_bytes(run[1:5], "big")
            size = 5 + _header_size(run[5:stop]) if self._binary else stop
            head, first, run = message(b"d", run[5:size]), run[size:stop], run[stop:]
            if first:
                # The header shares its message with the first row.
                run = message(b"d", first) + run
            else:
                count -= 1
        if self._binary and run.endswith(_TRAILER):
            last = last_message(run)
            if run[last:] == _TRAILER:
                run, tail, count = run[:last], _TRAILER, count - 1
        return head, CopyRows(run, count, self._form) if run else None, tail


def _header_size(body: bytes) -> int:
    if not body.startswith(_SIGNATURE) or len(body) < 19:
        raise ProtocolError("the target sent binary COPY without its signature")
    size = 19 + int.from_bytes(body[15:19], "big")
    if size > len(body):
        raise ProtocolError("the target sent a binary COPY header that does not fit its message")
    return size
